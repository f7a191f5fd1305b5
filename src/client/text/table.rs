//! Lays out a Markdown table: columns as wide as their texts where there is room, else cells wrap. Pure.

use pulldown_cmark::Alignment;

use super::rows::{Look, Role, Row, Rows, Styled};
use super::width::Widths;

/// Narrowest column that still reads as one.
const MIN_COLUMN: usize = 4;

/// A table while it is read.
pub(super) struct Table {
    pub(super) alignments: Vec<Alignment>,
    pub(super) rows: Vec<Vec<Styled>>,
}

impl Table {
    /// Lays it out in at most `width` columns, each row behind `prefix`.
    pub(super) fn rows(&self, width: usize, prefix: &Row, widths: Widths, ascii: bool) -> Rows {
        let n = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let room = width.saturating_sub(prefix.width(widths));
        if n == 0 {
            return Vec::new();
        }
        let gaps = 3 * (n - 1);
        if room < gaps + n * MIN_COLUMN {
            return self.as_lines(width, prefix, widths);
        }
        let columns = self.columns(n, room - gaps, widths);
        let (bar, line, cross) = if ascii {
            (" | ", "-", "-+-")
        } else {
            (" │ ", "─", "─┼─")
        };
        let mut out = Vec::new();
        for (index, cells) in self.rows.iter().enumerate() {
            self.lay_row(cells, &columns, prefix, bar, widths, &mut out);
            if index == 0 {
                let rule: Vec<String> = columns.iter().map(|column| line.repeat(*column)).collect();
                let mut row = prefix.clone();
                row.push(rule.join(cross), Look::of(Role::Dim));
                out.push(row);
            }
        }
        out
    }

    /// Gives each column its wish, or takes from the widest until all fit.
    fn columns(&self, n: usize, room: usize, widths: Widths) -> Vec<usize> {
        let wish = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| widths.text(cell.text()))
                .max()
                .unwrap_or(0)
                .max(1)
        };
        let mut columns: Vec<usize> = (0..n).map(wish).collect();
        let mut over = columns.iter().sum::<usize>().saturating_sub(room);
        while over > 0 {
            let widest = columns.iter().copied().max().unwrap_or(0);
            let next = columns
                .iter()
                .copied()
                .filter(|width| *width < widest)
                .max()
                .unwrap_or(MIN_COLUMN);
            let at_top = columns.iter().filter(|width| **width == widest).count();
            let step = (widest - next.max(MIN_COLUMN))
                .min(over.div_ceil(at_top))
                .max(1);
            for column in columns.iter_mut().filter(|width| **width == widest) {
                let taken = step.min(over);
                *column -= taken;
                over -= taken;
            }
        }
        columns
    }

    fn lay_row(
        &self,
        cells: &[Styled],
        columns: &[usize],
        prefix: &Row,
        bar: &str,
        widths: Widths,
        out: &mut Rows,
    ) {
        let none = Row::default();
        let empty = Styled::default();
        let laid: Vec<Rows> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                cells
                    .get(at)
                    .unwrap_or(&empty)
                    .rows(*column, &none, &none, widths)
            })
            .collect();
        let height = laid.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let mut row = prefix.clone();
            for (at, column) in columns.iter().enumerate() {
                if at > 0 {
                    row.push(bar, Look::of(Role::Dim));
                }
                let cell = laid[at].get(line).unwrap_or(&none);
                let free = column.saturating_sub(cell.width(widths));
                let before = match self.alignments.get(at) {
                    Some(Alignment::Right) => free,
                    Some(Alignment::Center) => free / 2,
                    _ => 0,
                };
                row.push(" ".repeat(before), Look::default());
                for span in &cell.spans {
                    row.push(span.text.as_str(), span.look);
                }
                if at + 1 < columns.len() {
                    row.push(" ".repeat(free - before), Look::default());
                }
            }
            out.push(row);
        }
    }

    /// Where there is no room for columns, each row is a line of cells.
    fn as_lines(&self, width: usize, prefix: &Row, widths: Widths) -> Rows {
        let mut out = Vec::new();
        for cells in &self.rows {
            let mut line = Styled::default();
            for (at, cell) in cells.iter().enumerate() {
                if at > 0 {
                    line.push(" | ", Look::of(Role::Dim));
                }
                line.append(cell);
            }
            out.extend(line.rows(width, prefix, prefix, widths));
        }
        out
    }
}
