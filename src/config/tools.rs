//! `tools`: settings of single tools.

use super::reader::Section;

/// How long results that were too long for the model are kept, in days.
const RESULTS_KEEP_DAYS: u64 = 7;
/// All of them together, in bytes.
const RESULTS_BYTES: u64 = 64 * 1024 * 1024;

/// Tool settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolsConfig {
    /// Host names and addresses inside private networks that the HTTP tools may reach.
    pub http_allow_private: Vec<String>,
    /// How long results that were too long for the model are kept, in days.
    pub results_keep_days: u64,
    /// Size of all of them together, in bytes.
    pub results_bytes: u64,
}

impl ToolsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut http = section.child("http");
        let allow_private = http.texts("allow_private");
        http.finish();
        let mut results = section.child("results");
        let config = Self {
            http_allow_private: allow_private.unwrap_or_default(),
            results_keep_days: results
                .whole("keep_days", 0..=36_500)
                .unwrap_or(RESULTS_KEEP_DAYS),
            results_bytes: results
                .whole("max_bytes", 1_000_000..=u64::MAX)
                .unwrap_or(RESULTS_BYTES),
        };
        results.finish();
        section.finish();
        config
    }
}
