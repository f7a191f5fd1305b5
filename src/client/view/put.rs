//! Puts text into cells: cluster by cluster, and nothing that could steer the terminal. The last gate. Pure.

use std::num::NonZeroU16;

use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

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
