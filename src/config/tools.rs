//! `tools`: settings of single tools.

use super::reader::Section;

/// Tool settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolsConfig {
    /// Host names and addresses inside private networks that the HTTP tools may reach.
    pub http_allow_private: Vec<String>,
}

impl ToolsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut http = section.child("http");
        let allow_private = http.texts("allow_private");
        http.finish();
        section.finish();
        Self {
            http_allow_private: allow_private.unwrap_or_default(),
        }
    }
}
