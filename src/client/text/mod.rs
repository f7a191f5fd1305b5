//! Text for a terminal: cleaned of what steers it, measured by cluster, wrapped by rules that suit Chinese. Pure.

mod clean;
mod code;
mod markdown;
mod memo;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod width;
mod wrap;

pub(super) use clean::{clean, clean_line, placeholder, placeholder_index};
pub(super) use markdown::markdown;
pub(super) use memo::Memo;
pub(super) use rows::{Look, Role, Row, Rows, Styled};
pub(super) use width::Widths;
pub(super) use wrap::{Cut, wrap};
