//! Hostile input: what a peer may send to hurt the door or its other clients.

use super::*;
use std::process::Command;

/// The door still answers.
fn is_well(rig: &Rig) {
    assert!(rig.health().starts_with("HTTP/1.1 200 "));
    let mut client = rig.connect();
    client.send(Message::text("still there?")).unwrap();
    assert_eq!(text(&mut client), "still there?");
}

#[test]
fn half_open_connections_push_out_the_oldest() {
    let rig = Rig::new();
    let mut silent: Vec<TcpStream> = (0..limits::UNFINISHED + 20).map(|_| rig.raw()).collect();
    for dropped in &mut silent[..20] {
        assert_eq!(dropped.read(&mut [0]).unwrap(), 0);
    }
    is_well(&rig);
    let last = silent.last_mut().unwrap();
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", rig.addr);
    last.write_all(request.as_bytes()).unwrap();
    assert!(read_all(last).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_head_that_trickles_is_given_up() {
    let rig = Rig::with(|setup| setup.times.head = Duration::from_millis(200));
    let mut silent = rig.raw();
    assert_eq!(read_all(&mut silent), "");

    let mut slow = rig.raw();
    // The pause between two bytes; the answer ends it.
    slow.set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nX: ").unwrap();
    let started = Instant::now();
    let mut answer = [0; 12];
    while let Err(error) = slow.read_exact(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(started.elapsed() < CEILING, "never given up");
        slow.write_all(b"y").unwrap();
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn a_64_mib_header_is_not_swallowed() {
    let rig = Rig::new();
    let mut stream = rig.raw();
    stream.write_all(b"GET /health HTTP/1.1\r\nX: ").unwrap();
    let chunk = [b'y'; 64 * 1024];
    let refused = (0..1024).find_map(|_| stream.write_all(&chunk).err());
    assert!(refused.is_some(), "all of it was taken");
    let mut polite = rig.raw();
    polite.write_all(b"GET /health HTTP/1.1\r\nX: ").unwrap();
    polite.write_all(&chunk[..16 * 1024]).unwrap();
    let answer = read_all(&mut polite);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    is_well(&rig);
}

#[test]
fn bad_frames_get_the_right_close_code() {
    let rig = Rig::new();
    let fragments = |n: usize| {
        let mut bytes = frame(0x01, b"");
        bytes.extend(frame(0x00, b"").repeat(n - 1));
        bytes
    };
    let half = vec![b'a'; limits::MESSAGE_BYTES / 2 + 1];
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", vec![0x81, 1, b'a'], 1002),
        ("RSV1", frame(0xc1, b"a"), 1002),
        ("RSV3", frame(0x91, b"a"), 1002),
        ("unknown data opcode", frame(0x83, b"a"), 1002),
        ("unknown control opcode", frame(0x8b, b"a"), 1002),
        ("continuation of nothing", frame(0x80, b"a"), 1002),
        (
            "text inside a message",
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            1002,
        ),
        ("cut control frame", frame(0x09, b"a"), 1002),
        ("long control frame", frame(0x89, &[0; 126]), 1002),
        ("close of one byte", frame(0x88, b"x"), 1002),
        ("close code 1005", frame(0x88, &1005u16.to_be_bytes()), 1002),
        ("close reason not UTF-8", frame(0x88, b"\x03\xe8\xff"), 1007),
        ("text not UTF-8", frame(0x81, b"a\xff"), 1007),
        (
            "text cut inside a character",
            frame(0x81, b"\xe4\xbd"),
            1007,
        ),
        (
            "fragments not UTF-8",
            [frame(0x01, b"\xe4"), frame(0x80, b"a")].concat(),
            1007,
        ),
        (
            "1 MiB + 1",
            frame(0x81, &vec![b'a'; limits::MESSAGE_BYTES + 1])[..100].to_vec(),
            1009,
        ),
        (
            "2^63 bytes",
            [&[0x81, 0xff, 0x80][..], &[0; 11]].concat(),
            1009,
        ),
        (
            "1 MiB + 2 in two",
            [frame(0x01, &half), frame(0x80, &half)].concat(),
            1009,
        ),
        (
            "too many fragments",
            fragments(limits::FRAGMENTS as usize + 1),
            1009,
        ),
    ];
    for (what, bytes, code) in table {
        let mut stream = rig.upgraded();
        let client = rig.next_client();
        // A message before the fault still counts.
        stream.write_all(&frame(0x81, b"fine")).unwrap();
        stream.write_all(&bytes).unwrap();
        assert_eq!(close_code(&mut stream), code, "{what}");
        assert_eq!(read_all(&mut stream), "", "{what}");
        assert_eq!(rig.next(), Told::Text(client, "fine".to_owned()), "{what}");
        assert_eq!(rig.next(), Told::Closed(client), "{what}");
    }
    assert!(rig.health().contains(r#""clients":0"#));
    is_well(&rig);
}

#[test]
fn a_client_that_still_sends_is_told_why_it_is_closed() {
    let rig = Rig::new();
    let mut stream = rig.upgraded();
    // More than both sockets' buffers hold: a reset would end the writing before the close frame could be read.
    let huge = frame(0x81, &vec![b'a'; 12 * limits::MESSAGE_BYTES]);
    stream.write_all(&huge).unwrap();
    assert_eq!(close_code(&mut stream), 1009);
    assert_eq!(read_all(&mut stream), "");
    is_well(&rig);
}

#[test]
fn the_limits_themselves_are_allowed() {
    let rig = Rig::new();
    let mut client = rig.connect();
    let longest = "x".repeat(limits::MESSAGE_BYTES);
    // More than once: the buffer of a long message is given back behind it.
    for message in [longest.as_str(), "short", longest.as_str(), "", "short"] {
        client.send(Message::text(message)).unwrap();
        assert_eq!(text(&mut client), message);
    }

    let mut stream = rig.upgraded();
    let mut bytes = frame(0x01, b"a");
    for _ in 2..limits::FRAGMENTS {
        bytes.extend(frame(0x00, b"b"));
        bytes.extend(frame(0x8a, b"pong"));
    }
    bytes.extend(frame(0x80, b"c"));
    stream.write_all(&bytes).unwrap();
    let (first, payload) = read_frame(&mut stream);
    assert_eq!(first, 0x81);
    assert_eq!(payload.len(), limits::FRAGMENTS as usize);
}

#[test]
fn binary_and_pings_keep_the_connection() {
    let rig = Rig::new();
    let mut client = rig.connect();
    client.send(Message::binary(vec![0, 159])).unwrap();
    assert_eq!(text(&mut client), "no binary");
    client.send(Message::Ping("are you".into())).unwrap();
    assert_eq!(client.read().unwrap(), Message::Pong("are you".into()));
    client.send(Message::text("hi")).unwrap();
    assert_eq!(text(&mut client), "hi");
}

#[test]
fn frames_behind_the_head_are_read_and_garbage_there_is_refused() {
    let rig = Rig::new();
    let mut eager = rig.raw();
    let head = rig.upgrade_head().into_bytes();
    let both = [frame(0x81, b"early"), frame(0x81, b"bird")].concat();
    eager.write_all(&[&head[..], &both].concat()).unwrap();
    read_head(&mut eager);
    assert_eq!(read_frame(&mut eager).1, b"early");
    assert_eq!(read_frame(&mut eager).1, b"bird");

    let mut garbled = rig.raw();
    garbled
        .write_all(&[&head[..], b"GET / HTTP/1.1\r\n\r\n"].concat())
        .unwrap();
    read_head(&mut garbled);
    assert_eq!(close_code(&mut garbled), 1002);
}

#[test]
fn a_polite_close_is_answered_and_a_lost_peer_is_noticed() {
    let rig = Rig::new();
    let mut stream = rig.upgraded();
    let client = rig.next_client();
    stream
        .write_all(&frame(0x88, &1000u16.to_be_bytes()))
        .unwrap();
    assert_eq!(close_code(&mut stream), 1000);
    assert_eq!(read_all(&mut stream), "");
    assert_eq!(rig.next(), Told::Closed(client));

    let lost = rig.upgraded();
    let client = rig.next_client();
    drop(lost);
    assert_eq!(rig.next(), Told::Closed(client));
}

#[test]
fn many_clients_are_served_and_one_too_many_is_told() {
    let rig = Rig::with(|setup| setup.config.max_connections = 300);
    let mut clients: Vec<_> = (0..300).map(|_| rig.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(Message::text(n.to_string())).unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(text(client), n.to_string());
    }
    assert_eq!(rig.refused(None), 503);
    assert!(rig.health().contains(r#""clients":300"#));

    let mut leaving = clients.swap_remove(7);
    leaving.close(None).unwrap();
    // The server closes its side only after it has let go of the place.
    while leaving.read().is_ok() {}
    drop(leaving);
    while !matches!(rig.next(), Told::Closed(_)) {}
    is_well(&rig);
}

#[test]
fn a_flood_of_messages_is_slowed_but_not_lost() {
    let rig = Rig::new();
    let mut flooder = rig.connect();
    let n = limits::RATE_MESSAGES as usize + 100;
    for n in 0..n {
        flooder.write(Message::text(n.to_string())).unwrap();
    }
    flooder.flush().unwrap();
    is_well(&rig);
    for n in 0..n {
        assert_eq!(text(&mut flooder), n.to_string());
    }
}

#[test]
fn every_ping_of_a_row_is_answered() {
    let rig = Rig::new();
    let mut stream = rig.upgraded();
    stream
        .write_all(&frame(0x89, &[7; 125]).repeat(200))
        .unwrap();
    for _ in 0..200 {
        assert_eq!(read_frame(&mut stream), (0x8a, vec![7; 125]));
    }
}

const CHILD: &str = "PICOBOT_TEST_FEW_DESCRIPTORS";

/// Runs itself again in a process of its own: the limit of open files belongs to the whole process.
#[test]
fn running_out_of_descriptors_is_survived() {
    if std::env::var_os(CHILD).is_some() {
        survive_running_out_of_descriptors();
        return;
    }
    let name = "gateway::door::tests::hostile::running_out_of_descriptors_is_survived";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && shown.contains("1 passed"),
        "{shown}"
    );
}

fn survive_running_out_of_descriptors() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    const FEW: u64 = 64;
    let limit = Rlimit {
        current: Some(FEW),
        maximum: Some(FEW),
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let rig = Rig::with(|setup| setup.times.accept_pause = Duration::from_millis(20));
    let mut client = rig.connect();
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    // The client's end takes the last descriptor; accepting finds none.
    held.pop();
    let mut waiting = rig.raw();
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", rig.addr);
    waiting.write_all(request.as_bytes()).unwrap();
    client.send(Message::text("hi")).unwrap();
    assert_eq!(text(&mut client), "hi");
    held.clear();
    assert!(read_all(&mut waiting).starts_with("HTTP/1.1 200 "));
    is_well(&rig);
}
