//! No query reads a whole table unless it says why: every SQL text of this module's files is planned by SQLite itself.

use std::fs;
use std::path::Path;

use regex::Regex;
use rusqlite::Connection;

use super::schema;

/// Parts of statements that may read a whole table, each with the reason.
const MAY_SCAN: &[(&str, &str)] = &[
    (
        "UPDATE dialogs SET archived = 1 WHERE id IN (",
        "daily upkeep",
    ),
    ("DELETE FROM outbox WHERE id IN (", "daily upkeep"),
    (
        "SELECT id, channel, chat, body, state",
        "a list that people ask for, newest first, with a limit",
    ),
    (
        "SELECT id, tool, summary, created_at, n_used",
        "a list that people ask for; they made every row by hand",
    ),
    (
        "FROM dialogs WHERE archived <= ?1 ORDER BY",
        "a list over all chats that people ask for, with a limit",
    ),
    ("SELECT count(*) FROM", "the contents of a backup"),
    ("SELECT name FROM sqlite_schema", "the check after a crash"),
    (
        "DELETE FROM dialogs WHERE id = ?1",
        "chats are few, and people delete by hand",
    ),
    (
        "SELECT id FROM media AS m WHERE NOT EXISTS",
        "daily upkeep; reads ids, not images",
    ),
    (
        "DELETE FROM media WHERE NOT EXISTS",
        "after a person deleted messages; reads ids, not images",
    ),
];

/// Returns the SQL texts of a Rust source, with the constants of column names put in.
fn statements(source: &str) -> Vec<String> {
    let constant = Regex::new(r#"const ([A-Z]+): &str =\s*"((?:[^"\\]|\\(?s:.))*)""#).unwrap();
    let literal =
        Regex::new(r#""((?:SELECT|UPDATE|DELETE|INSERT|WITH)\b(?:[^"\\]|\\(?s:.))*)""#).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    literal
        .captures_iter(source)
        .map(|found| {
            let mut sql = found[1].to_owned();
            for constant in constant.captures_iter(source) {
                sql = sql.replace(&format!("{{{}}}", &constant[1]), &constant[2]);
            }
            // A backslash at the end of a line joins it with the next.
            let sql = sql.replace("\\\n", " ").replace("\\\"", "\"");
            sql.split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect()
}

#[test]
fn hot_queries_use_indexes() {
    let mut db = Connection::open_in_memory().unwrap();
    schema::migrate(&mut db).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage");
    let mut checked = 0;
    let mut unread = Vec::new();
    let mut scans = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".rs") || name.ends_with("tests.rs") {
            continue;
        }
        for sql in statements(&fs::read_to_string(&path).unwrap()) {
            let Ok(mut plan) = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")) else {
                unread.push(format!("{name}: {sql}"));
                continue;
            };
            let unbound = vec![rusqlite::types::Null; plan.parameter_count()];
            let lines = plan
                .query_map(rusqlite::params_from_iter(unbound), |row| row.get(3))
                .unwrap();
            let lines: Vec<String> = lines.map(Result::unwrap).collect();
            checked += 1;
            let allowed = MAY_SCAN.iter().any(|(part, _)| sql.contains(part));
            // A partial index holds what is open only.
            let scan = lines
                .iter()
                .find(|line| line.starts_with("SCAN") && !line.contains("_open"));
            if let Some(line) = scan
                && !allowed
                && !line.contains("CONSTANT ROW")
            {
                scans.push(format!("{name}: {line}: {sql}"));
            }
        }
    }
    assert!(checked > 60, "only {checked} statements were found");
    assert!(scans.is_empty(), "{scans:#?}");
    // Texts put together from pieces cannot be read here; a change of their number deserves a look.
    assert!(unread.len() <= 8, "{unread:#?}");
}
