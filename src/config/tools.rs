//! `tools`: settings of single tools.

use jsonc_parser::ast::Value;

use super::field::Field;
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
    /// Ranges of ports beside 80, 443 and 8000 to 9999 that the HTTP tools may use.
    pub http_ports: Vec<(u16, u16)>,
    /// How long results that were too long for the model are kept, in days.
    pub results_keep_days: u64,
    /// Size of all of them together, in bytes.
    pub results_bytes: u64,
}

impl ToolsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut http = section.child("http");
        let allow_private = http.texts("allow_private");
        let elements = http.get("ports").map(|field| field.elements());
        let ports = elements.unwrap_or_default();
        let http_ports = ports.iter().filter_map(port_range).collect();
        http.finish();
        let mut results = section.child("results");
        let config = Self {
            http_allow_private: allow_private.unwrap_or_default(),
            http_ports,
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

/// Reads `3000` or `"5000-5999"`.
fn port_range(field: &Field<'_>) -> Option<(u16, u16)> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let range = match field.value() {
        Value::NumberLit(number) => port(number.value).map(|port| (port, port)),
        Value::StringLit(text) => match text.value.split_once('-') {
            Some((low, high)) => port(low).zip(port(high)).filter(|(low, high)| low <= high),
            None => port(&text.value).map(|port| (port, port)),
        },
        _ => None,
    };
    if range.is_none() {
        field.wrong("expected a port such as 3000, or a range such as \"5000-5999\"");
    }
    range
}
