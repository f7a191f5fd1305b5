//! How many columns a cluster takes. Pure.
//!
//! Width is that of the whole cluster, never of bytes and never a sum of characters: a family emoji is 2 columns.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Longest cluster that is drawn, in bytes. A family with skin tones has 41; more is an attack on the terminal.
const MAX_CLUSTER_BYTES: usize = 64;

/// The way this terminal measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::client) struct Widths {
    /// Whether characters of ambiguous width take two columns.
    pub(in crate::client) ambiguous_is_wide: bool,
}

impl Widths {
    /// Returns the columns of one cluster; 0 for a mark that stands alone.
    pub(in crate::client) fn cluster(self, cluster: &str) -> usize {
        match cluster.as_bytes() {
            [byte] => usize::from(!byte.is_ascii_control()),
            bytes if bytes.len() > MAX_CLUSTER_BYTES => 1,
            _ if self.ambiguous_is_wide => cluster.width_cjk(),
            _ => cluster.width(),
        }
    }

    /// Returns the columns of a text without line breaks.
    pub(in crate::client) fn text(self, text: &str) -> usize {
        if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return text.len();
        }
        text.graphemes(true)
            .map(|cluster| self.cluster(cluster))
            .sum()
    }

    /// Returns what is drawn for a cluster.
    pub(in crate::client) fn shown(self, cluster: &str) -> &str {
        if cluster.len() > MAX_CLUSTER_BYTES {
            "\u{fffd}"
        } else {
            cluster
        }
    }

    /// Shortens a text to at most so many columns; what is cut shows as `…`.
    pub(in crate::client) fn fit(self, text: &str, columns: usize) -> String {
        if self.text(text) <= columns {
            return text.to_owned();
        }
        let mark = if self.ambiguous_is_wide { "~" } else { "…" };
        let mut out = String::new();
        let mut used = 0;
        for cluster in text.graphemes(true) {
            let width = self.cluster(cluster);
            if used + width + 1 > columns {
                break;
            }
            used += width;
            out.push_str(cluster);
        }
        if columns > 0 {
            out.push_str(mark);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_measured_whole() {
        let widths = Widths::default();
        for (text, wanted) in [
            ("", 0),
            ("a", 1),
            ("中", 2),
            ("👨‍👩‍👧‍👦", 2),
            ("e\u{301}", 1),
            ("한", 2),
            ("한", 2),
            ("🇨🇳", 2),
        ] {
            assert_eq!(widths.text(text), wanted, "{text}");
        }
        assert_eq!(widths.cluster(&format!("a{}", "\u{301}".repeat(500))), 1);
    }

    #[test]
    fn ambiguous_width_is_a_setting() {
        let wide = Widths {
            ambiguous_is_wide: true,
        };
        assert_eq!(wide.text("…①"), 4);
        assert_eq!(Widths::default().text("…①"), 2);
    }

    #[test]
    fn cut_texts_fit() {
        let widths = Widths::default();
        assert_eq!(widths.fit("整理下载目录", 7), "整理下…");
        assert_eq!(widths.fit("整理下载目录", 8), "整理下…");
        assert_eq!(widths.fit("整理", 4), "整理");
        assert_eq!(widths.fit("ab", 0), "");
        assert_eq!(widths.fit("ab", 1), "…");
    }
}
