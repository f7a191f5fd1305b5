//! Puts text into cells: cluster by cluster, and nothing that could steer the terminal. The last gate. Pure.

use std::num::NonZeroU16;

use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::client::text::{Look, Row, Widths, clean};
use crate::client::theme::Theme;

/// Writes into a buffer.
pub(super) struct Pen<'a> {
    buffer: &'a mut Buffer,
    theme: Theme,
    pub(super) widths: Widths,
}

impl<'a> Pen<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, theme: Theme, widths: Widths) -> Self {
        Self {
            buffer,
            theme,
            widths,
        }
    }

    /// Writes a text up to the right edge; returns the column behind it.
    pub(super) fn text(&mut self, x: u16, y: u16, text: &str, look: Look) -> u16 {
        let area = self.buffer.area;
        if y < area.y || y >= area.bottom() {
            return x;
        }
        let style = self.theme.style(look);
        let text = clean(text);
        let mut x = x;
        for cluster in text.graphemes(true) {
            if cluster.chars().any(char::is_control) {
                continue;
            }
            let Ok(width) = u16::try_from(self.widths.cluster(cluster)) else {
                continue;
            };
            if width == 0 {
                continue;
            }
            if x + width > area.right() {
                break;
            }
            if let Some(letters) = letters(cluster, width) {
                for (at, letter) in (x..).zip(letters) {
                    self.buffer[(at, y)].set_symbol(letter).set_style(style);
                }
                x += width;
                continue;
            }
            let shown = self.widths.shown(cluster);
            let cell = &mut self.buffer[(x, y)];
            cell.set_symbol(shown).set_style(style);
            if shown.width() != usize::from(width)
                && let Some(width) = NonZeroU16::new(width)
            {
                cell.set_diff_option(CellDiffOption::ForcedWidth(width));
            }
            for covered in x + 1..x + width {
                self.buffer[(covered, y)].reset();
            }
            x += width;
        }
        x
    }

    /// Writes a row; returns the column behind it.
    pub(super) fn row(&mut self, x: u16, y: u16, row: &Row) -> u16 {
        row.spans
            .iter()
            .fold(x, |x, span| self.text(x, y, &span.text, span.look))
    }

    /// Writes a text that ends at a column; returns where it begins.
    pub(super) fn right(&mut self, end: u16, y: u16, text: &str, look: Look) -> u16 {
        let width = u16::try_from(self.widths.text(text)).unwrap_or(u16::MAX);
        let x = end.saturating_sub(width);
        self.text(x, y, text, look);
        x
    }

    /// Draws a line across.
    pub(super) fn rule(&mut self, y: u16) {
        let mark = if self.widths.ambiguous_is_wide {
            "-"
        } else {
            "─"
        };
        let line = mark.repeat(usize::from(self.buffer.area.width));
        self.text(0, y, &line, Look::of(crate::client::text::Role::Dim));
    }

    /// Empties an area.
    pub(super) fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.y..area.bottom() {
            for x in area.x..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }
}

/// Parts a cluster into letters of one column each with their marks, if it is as wide as these: syllables of Devanagari or
/// Thai. A terminal draws them in as many cells, each of which has to be written anew by itself. `None` for any other
/// cluster.
fn letters(cluster: &str, width: u16) -> Option<Vec<&str>> {
    // Emoji are pictures, flags too, though each half of one has a column of its own.
    let is_emoji = |c: char| matches!(c, '\u{200d}' | '\u{fe0f}' | '\u{1f000}'..);
    if width < 2 || cluster.contains(is_emoji) {
        return None;
    }
    let mut starts = Vec::new();
    for (at, c) in cluster.char_indices() {
        match c.width() {
            Some(1) => starts.push(at),
            Some(0) if !starts.is_empty() => {}
            _ => return None,
        }
    }
    if starts.len() != usize::from(width) {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([cluster.len()]);
    Some(
        starts
            .iter()
            .zip(ends)
            .map(|(from, to)| &cluster[*from..to])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_a_syllable_have_cells_of_their_own() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        let mut pen = Pen::new(&mut buffer, Theme::Mono, Widths::default());
        assert_eq!(pen.text(0, 0, "स्तेกำ字é", Look::default()), 7);
        let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        assert_eq!(cells, ["स्", "ते", "ก", "ำ", "字", " ", "é", " "]);
        for whole in [
            "👨\u{200d}👩\u{200d}👧",
            "🇨🇳",
            "❤\u{fe0f}",
            "字",
            "e\u{301}",
            "각",
        ] {
            let width = u16::try_from(whole.width()).unwrap();
            assert_eq!(letters(whole, width), None, "{whole}");
        }
    }
}
