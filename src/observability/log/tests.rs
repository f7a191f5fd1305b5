//! Tests of the log sink: form, redaction, repeats, rotation.

use super::*;
use proptest::prelude::*;

const SECRET: &str = "hunter2-hunter2";

struct Fixture {
    dir: tempfile::TempDir,
    sink: Sink,
}

impl Fixture {
    fn new(format: LogFormat, max_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = LogOptions {
            target: LogTarget::File(dir.path().join("picobot.log")),
            level: LevelFilter::Info,
            format,
        };
        let redactor = Arc::new(Redactor::new([SECRET.to_owned()].into_iter()));
        let sink = Sink::open(options, redactor, max_bytes).unwrap();
        Self { dir, sink }
    }

    fn log(&self, at_ms: i64, message: &str) {
        let now = Timestamp::from_millisecond(1_700_000_000_000 + at_ms).unwrap();
        let args = format_args!("{message}");
        let mut record = Record::builder();
        let record = record.level(Level::Info).target("picobot::test").args(args);
        self.sink.write(now, &record.build());
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Returns the messages in the file.
    fn messages(&self) -> Vec<String> {
        let text = self.read("picobot.log");
        let messages = text
            .lines()
            .map(|line| line.split_once("test: ").unwrap().1);
        messages.map(str::to_owned).collect()
    }
}

#[test]
fn a_line_has_time_level_thread_and_target() {
    let fixture = Fixture::new(LogFormat::Text, MAX_FILE_BYTES);
    fixture.log(5, "key hunter2-hunter2\nnext\u{1b}[0m\u{202e} 密");
    let thread = std::thread::current();
    let expected = format!(
        "2023-11-14T22:13:20.005Z INFO  {} picobot::test: key ***\\nnext\\u{{1b}}[0m\\u{{202e}} 密\n",
        thread.name().unwrap_or("-")
    );
    assert_eq!(fixture.read("picobot.log"), expected);
}

#[test]
fn json_lines_are_json() {
    let json = Fixture::new(LogFormat::Json, MAX_FILE_BYTES);
    let message = "a \"b\"\n\u{1b}\u{9b}\u{202e} hunter2-hunter2";
    json.log(0, message);
    let text = json.read("picobot.log");
    assert_eq!(text.lines().count(), 1);
    assert!(!text.trim_end().contains(is_risky));
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["message"], message.replace(SECRET, "***"));
    assert_eq!(object["level"], "info");
    assert_eq!(object["time"], "2023-11-14T22:13:20.000Z");
}

#[test]
fn repeats_are_counted() {
    let fixture = Fixture::new(LogFormat::Text, MAX_FILE_BYTES);
    for at_ms in 0..20 {
        fixture.log(at_ms, "again");
        fixture.log(at_ms, if at_ms % 2 == 0 { "even" } else { "odd" });
    }
    let count = |wanted: &str| fixture.messages().iter().filter(|m| *m == wanted).count();
    assert_eq!((count("again"), count("even"), count("odd")), (5, 5, 5));
    fixture.log(1_500, "later");
    assert_eq!(
        fixture.messages()[15..],
        [
            "repeated 15 more times: again",
            "repeated 5 more times: even",
            "repeated 5 more times: odd",
            "later",
        ]
    );
    for at_ms in 0..7 {
        fixture.log(3_000 + at_ms, "again");
    }
    fixture.sink.flush();
    assert_eq!(
        fixture.messages().last().unwrap(),
        "repeated 2 more times: again"
    );
    for n in 0..100 {
        fixture.log(6_000, &format!("event {n}"));
    }
    assert!(fixture.sink.state().repeats.watched.len() <= MAX_WATCHED);
}

#[test]
fn files_are_private_and_rotate() {
    let fixture = Fixture::new(LogFormat::Text, 200);
    for n in 0..40 {
        fixture.log(n * 10, &format!("event {n}"));
    }
    let mut names: Vec<String> = fs::read_dir(fixture.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "picobot.log",
            "picobot.log.1",
            "picobot.log.2",
            "picobot.log.3",
            "picobot.log.4"
        ]
    );
    for name in &names {
        let metadata = fs::metadata(fixture.dir.path().join(name)).unwrap();
        assert!(metadata.len() <= 200);
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
    assert!(fixture.read("picobot.log").ends_with("event 39\n"));
    assert!(fixture.read("picobot.log.1").contains("event 3"));
}

#[test]
fn an_old_file_is_continued_and_closed_to_others() {
    let fixture = Fixture::new(LogFormat::Text, MAX_FILE_BYTES);
    fixture.log(0, "first");
    let path = fixture.dir.path().join("picobot.log");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = RotatedFile::open(path.clone(), MAX_FILE_BYTES).unwrap();
    assert_eq!(file.n_bytes, fs::metadata(&path).unwrap().len());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_log_that_cannot_rotate_starts_again() {
    let fixture = Fixture::new(LogFormat::Text, 200);
    for number in 1..MAX_FILES {
        let in_the_way = fixture
            .dir
            .path()
            .join(format!("picobot.log.{number}/full"));
        fs::create_dir_all(in_the_way).unwrap();
    }
    for n in 0..40 {
        fixture.log(n * 10, &format!("event {n}"));
    }
    assert!(fixture.read("picobot.log").len() <= 200);
    assert_eq!(fixture.messages().last().unwrap(), "event 39");
}

#[test]
fn other_crates_are_heard_only_when_it_matters() {
    let fixture = Fixture::new(LogFormat::Text, MAX_FILE_BYTES);
    for (target, level, expected) in [
        ("picobot", Level::Info, true),
        ("picobot::session", Level::Debug, false),
        ("ureq", Level::Info, false),
        ("ureq", Level::Warn, true),
    ] {
        let metadata = Metadata::builder().target(target).level(level).build();
        assert_eq!(
            fixture.sink.enabled(&metadata),
            expected,
            "{target} {level}"
        );
    }
}

#[test]
fn logging_is_set_up_once() {
    let options = LogOptions {
        target: LogTarget::Stderr,
        level: LevelFilter::Off,
        format: LogFormat::Text,
    };
    let redactor = Arc::new(Redactor::new(std::iter::empty()));
    init_log(options.clone(), redactor.clone()).unwrap();
    let error = init_log(options, redactor.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let missing = LogOptions {
        target: LogTarget::File("/nonexistent/picobot.log".into()),
        level: LevelFilter::Off,
        format: LogFormat::Text,
    };
    assert_eq!(
        init_log(missing, redactor).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

proptest! {
    #[test]
    fn an_event_is_one_line(message in "[\\PC\\x00-\\x1f\u{85}\u{2028}密]{0,60}") {
        for format in [LogFormat::Text, LogFormat::Json] {
            let event = Event {
                level: Level::Warn,
                thread: "main".to_owned(),
                target: "picobot".to_owned(),
                message: message.clone(),
            };
            let line = event.line(Timestamp::UNIX_EPOCH, format);
            let body = line.strip_suffix('\n').unwrap();
            prop_assert!(!body.contains(is_risky));
        }
    }

    #[test]
    fn long_messages_are_cut_between_characters(n in 0_usize..4) {
        let message = "x".repeat(n) + &"密".repeat(MAX_MESSAGE_BYTES);
        let cut = capped(message);
        prop_assert!(cut.len() <= MAX_MESSAGE_BYTES + 40);
        prop_assert!(cut.ends_with("bytes left out]"));
    }
}
