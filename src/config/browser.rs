//! `browser`: the WebDriver tool.

use super::reader::Section;

/// Browser settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserConfig {
    /// Whether the tool is there; false when omitted.
    pub enabled: bool,
    /// Address of a running WebDriver service; `None`: one is started.
    pub webdriver_url: Option<String>,
    /// The browser: a name on the search path or a path; `None`: found by the driver.
    pub chromium: Option<String>,
}

impl BrowserConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let enabled = section.flag("enabled", false);
        let mut section = section.used_if(enabled);
        let config = Self {
            enabled,
            webdriver_url: section.url("webdriver_url", &["http", "https"]),
            chromium: section.command("chromium"),
        };
        section.finish();
        config
    }
}
