//! `approvals`: which tool calls run, which wait for a person, which never run.

use std::time::Duration;

use super::reader::Section;

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalDecision {
    /// The call runs.
    Allow,
    /// A person is asked.
    Ask,
    /// The call does not run.
    Deny,
}

/// One rule; all conditions given must fit. The first rule that fits decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRule {
    /// Name of a tool, or `*`.
    pub tool: String,
    /// A program of a command line.
    pub program: Option<String>,
    /// A pattern of workspace paths.
    pub path: Option<String>,
    /// A host, or `*.` and a domain.
    pub host: Option<String>,
    /// What it says.
    pub decision: ApprovalDecision,
}

/// Approval settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalsConfig {
    /// How long a question waits for a person, 10 seconds to a day.
    pub time: Duration,
    /// The rules, first one first.
    pub rules: Vec<ApprovalRule>,
}

/// Time for an answer unless configured.
const TIME: Duration = Duration::from_secs(300);

const DECISIONS: [(&str, ApprovalDecision); 3] = [
    ("allow", ApprovalDecision::Allow),
    ("ask", ApprovalDecision::Ask),
    ("deny", ApprovalDecision::Deny),
];

impl ApprovalsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let rules = section
            .get("rules")
            .map(|field| field.elements())
            .unwrap_or_default();
        let config = Self {
            time: section.secs("expires_secs", 10..=86_400, TIME),
            rules: rules
                .into_iter()
                .map(|field| ApprovalRule::read(field.section()))
                .collect(),
        };
        section.finish();
        config
    }
}

impl ApprovalRule {
    fn read(mut section: Section<'_>) -> Self {
        let decision = section.word("decision", &DECISIONS);
        if decision.is_none() && !section.has("decision") {
            section.missing_always("decision", "expected \"allow\" or \"ask\" or \"deny\"");
        }
        let rule = Self {
            tool: section.text("tool").unwrap_or_else(|| "*".to_owned()),
            program: section.text("program"),
            path: section.text("path"),
            host: section.text("host"),
            // A rule without a decision is an error already; a no does the least harm.
            decision: decision.unwrap_or(ApprovalDecision::Deny),
        };
        if let Some(path) = &rule.path
            && let Err(error) = globset::Glob::new(path)
        {
            section.error_at("path", &format!("not a path pattern: {}", error.kind()));
        }
        section.finish();
        rule
    }
}
