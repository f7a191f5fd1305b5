//! Python as a second opinion: on JSON types through the official SDK, on databases through its own SQLite.

use std::path::Path;
use std::process::Command;

/// Returns the Python to use; the standard library is enough.
pub(crate) fn python() -> String {
    let made = std::env::var("PICOBOT_TEST_PYTHON").ok();
    let made = made.filter(|path| !path.is_empty());
    made.unwrap_or_else(|| "python3".to_owned())
}

/// Runs statements on a database that nobody has open, printing what each gives, and returns what was printed.
#[track_caller]
pub(crate) fn sqlite(database: &Path, statements: &[&str]) -> String {
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        for statement in sys.argv[2:]: print(db.execute(statement).fetchall())\n\
        db.commit()\n\
        db.close()";
    let output = Command::new(python())
        .args(["-c", script])
        .arg(database)
        .args(statements)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
