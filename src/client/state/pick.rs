//! Finds a dialog by what a person calls it. Pure.

use crate::wire::SessionInfo;

/// Why no dialog was found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PickError {
    /// There is none of this name.
    #[error("there is no dialog {0:?}")]
    Unknown(String),
    /// There is more than one; some of them.
    #[error("{wanted:?} fits several dialogs: {names}")]
    Several {
        /// What was asked for.
        wanted: String,
        /// Up to five of them.
        names: String,
    },
}

/// Finds a dialog by its id, its title, a unique beginning of its id, or a unique beginning of its title; returns its
/// session id. Without these, by the whole session id.
pub fn pick(sessions: &[SessionInfo<'_>], wanted: &str) -> Result<String, PickError> {
    let id = |info: &SessionInfo<'_>| {
        info.session_id
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let lower = wanted.to_lowercase();
    let rules: [&dyn Fn(&SessionInfo<'_>) -> bool; 5] = [
        &|info| info.session_id == wanted,
        &|info| id(info) == wanted,
        &|info| info.title == wanted,
        &|info| id(info).starts_with(wanted),
        &|info| info.title.to_lowercase().starts_with(&lower),
    ];
    for rule in rules {
        let found: Vec<_> = sessions.iter().filter(|info| rule(info)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one.session_id.to_string()),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .take(5)
                    .map(|info| format!("{} ({})", id(info), info.title))
                    .collect();
                return Err(PickError::Several {
                    wanted: wanted.to_owned(),
                    names: names.join(", "),
                });
            }
        }
    }
    Err(PickError::Unknown(wanted.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: &'static str, title: &'static str) -> SessionInfo<'static> {
        SessionInfo {
            session_id: format!("cli_chat:local:{id}").into(),
            title: title.into(),
            archived: false,
            updated_at: "2026-03-01T08:30:00.000Z".into(),
            message_count: 0,
        }
    }

    #[test]
    fn dialogs_have_many_names() {
        let all = [
            info("3", "Trip"),
            info("31", "整理下载目录"),
            info("4", "Trip"),
        ];
        let check = |wanted: &str, id: &str| {
            let found =
                pick(&all, wanted).map(|found| found.rsplit(':').next().unwrap().to_owned());
            assert_eq!(found.as_deref(), Ok(id), "{wanted}");
        };
        check("3", "3");
        check("31", "31");
        check("整理", "31");
        check("cli_chat:local:4", "4");
        assert!(matches!(pick(&all, "Trip"), Err(PickError::Several { .. })));
        assert_eq!(pick(&all, "x"), Err(PickError::Unknown("x".to_owned())));
    }
}
