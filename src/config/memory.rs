//! `memory`: how much is recalled and how long summaries are kept.

use super::gateway::days;
use super::reader::Section;

/// Memory settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Memories recalled into a turn; 0 recalls none.
    pub recall_limit: usize,
    /// Days that dated summaries are kept; `None` (0 in the file): for ever.
    pub timeline_retention_days: Option<u32>,
}

impl MemoryConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            recall_limit: section.whole("recall_limit", 0..=100).unwrap_or(5),
            timeline_retention_days: days(&mut section, "timeline_retention_days", 90),
        };
        section.finish();
        config
    }
}
