//! Pressure in both directions: a full queue behind the handler, clients that do not read, long messages, idleness.

use super::*;
use std::collections::HashMap;

/// Takes everything out of the handler's queue, as the session does, until `n` things were told.
fn drain(rig: &Rig, n: usize) -> Vec<Told> {
    (0..n)
        .map(|_| {
            let told = rig.next();
            rig.sink.room();
            told
        })
        .collect()
}

#[test]
fn a_full_queue_loses_nothing_and_keeps_the_order() {
    const CLIENTS: usize = 8;
    const TEXTS: usize = 100;
    let rig = Rig::with(|setup| setup.room = 3);
    let clients: Vec<_> = (0..CLIENTS).map(|_| rig.upgraded()).collect();
    for mut stream in clients {
        for n in 0..TEXTS {
            stream
                .write_all(&frame(0x81, n.to_string().as_bytes()))
                .unwrap();
        }
        // Goodbye and gone: what was sent before still has to arrive, and the leaving after it.
        stream
            .write_all(&frame(0x88, &1000u16.to_be_bytes()))
            .unwrap();
    }
    let mut heard: HashMap<ClientId, Vec<String>> = HashMap::new();
    for told in drain(&rig, CLIENTS * (TEXTS + 2)) {
        let (client, what) = match told {
            Told::Connected(client, _) => (client, "came".to_owned()),
            Told::Text(client, text) => (client, text),
            Told::Closed(client) => (client, "left".to_owned()),
        };
        heard.entry(client).or_default().push(what);
    }
    assert_eq!(heard.len(), CLIENTS);
    let mut expected = vec!["came".to_owned()];
    expected.extend((0..TEXTS).map(|n| n.to_string()));
    expected.push("left".to_owned());
    for whole in heard.values() {
        assert_eq!(*whole, expected);
    }
    assert!(rig.told.is_empty());
}

#[test]
fn a_waiting_client_does_not_hold_up_answers() {
    let rig = Rig::with(|setup| setup.room = 2);
    let mut client = rig.connect();
    let id = rig.next_client();
    for n in 0..5 {
        client.send(Message::text(n.to_string())).unwrap();
    }
    assert_eq!(text(&mut client), "0");
    assert_eq!(text(&mut client), "1");
    rig.notify(id, "meanwhile");
    assert_eq!(text(&mut client), "meanwhile");
    assert!(rig.health().starts_with("HTTP/1.1 200 "));
    drain(&rig, 5);
    for n in 2..5 {
        assert_eq!(text(&mut client), n.to_string());
    }
}

#[test]
fn a_long_answer_reaches_a_client_that_reads() {
    let rig = Rig::new();
    let mut client = rig.connect();
    let id = rig.next_client();
    let long = "y".repeat(12 * limits::MESSAGE_BYTES);
    rig.notify(id, long.as_str());
    for n in 0..100 {
        rig.notify(id, n.to_string());
    }
    assert_eq!(text(&mut client), long);
    for n in 0..100 {
        assert_eq!(text(&mut client), n.to_string());
    }
}

#[test]
fn a_client_that_does_not_read_is_closed_and_nobody_waits_for_it() {
    let rig = Rig::with(|setup| setup.times.answer = 4 * CEILING);
    let mut slow = rig.connect();
    let slow_id = rig.next_client();
    let mut other = rig.connect();
    let other_id = rig.next_client();
    let long = "z".repeat(64 * 1024);
    let mut sent = 0;
    while rig.told.is_empty() {
        rig.notify(slow_id, long.as_str());
        rig.notify(other_id, "tick");
        assert_eq!(text(&mut other), "tick");
        sent += 1;
        assert!(
            sent < 2000,
            "125 MiB were queued for a client that does not read"
        );
    }
    assert_eq!(rig.next(), Told::Closed(slow_id));
    // What was queued comes whole and in order, then the reason.
    let mut received = 0;
    let close = loop {
        match slow.read().unwrap() {
            Message::Text(text) => {
                assert_eq!(text.len(), long.len());
                received += 1;
            }
            Message::Close(close) => break close.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(u16::from(close.code), 1008);
    assert!(received > 0 && received < sent);
}

#[test]
fn outbound_for_the_gone_and_the_unwanted_is_dropped() {
    let rig = Rig::new();
    let mut client = rig.connect();
    let id = rig.next_client();
    rig.notify(ClientId(0), "listener");
    rig.notify(ClientId(u64::MAX), "nobody");
    rig.sink.push(Outbound {
        client: id,
        request_id: None,
        session: None,
        body: Body::Pong,
    });
    rig.notify(id, "for you");
    assert_eq!(text(&mut client), "for you");
}

#[test]
fn more_than_the_queue_holds_goes_through() {
    let rig = Rig::new();
    let mut client = rig.connect();
    let id = rig.next_client();
    let n_messages = 3 * limits::OUTBOUND;
    let sink = rig.sink.clone();
    let pusher = crate::threads::spawn("pusher", 256 * 1024, move || {
        for n in 0..n_messages {
            sink.push(Outbound {
                client: id,
                request_id: None,
                session: None,
                body: Body::Notification {
                    content: n.to_string(),
                },
            });
        }
    })
    .unwrap();
    for n in 0..n_messages {
        assert_eq!(text(&mut client), n.to_string());
    }
    pusher.join_within(CEILING).unwrap();
}

#[test]
fn an_idle_door_with_a_client_does_not_wake() {
    let rig = Rig::new();
    let mut client = rig.connect();
    client.send(Message::text("hi")).unwrap();
    assert_eq!(text(&mut client), "hi");
    rig.next_client();
    rig.next();
    let before = wake_ups(&rig);
    let nothing = rig.told.recv_timeout(Duration::from_millis(300));
    assert!(nothing.is_err());
    assert!(wake_ups(&rig) <= before + 1, "it woke for nothing");
}

/// How often `gateway-io` has gone to sleep.
fn wake_ups(rig: &Rig) -> u64 {
    let thread = rig.thread.load(Ordering::Relaxed);
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("voluntary_ctxt_switches"));
    line.unwrap()
        .split_whitespace()
        .last()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn a_silent_peer_on_another_machine_is_pinged_and_given_up() {
    let Some(own) = own_address() else {
        return; // A machine without a network has no such peers.
    };
    let rig = Rig::with(|setup| {
        setup.config.host = own.to_string();
        setup.config.allowed_hosts = vec![own.to_string()];
        setup.times.ping = Duration::from_millis(30);
        setup.times.silence = Duration::from_millis(300);
    });
    assert_eq!(
        rig.refused(None),
        401,
        "not loopback, so the token is needed"
    );
    let mut stream = rig.raw();
    let head = rig.upgrade_head().replace(
        "\r\n\r\n",
        &format!("\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"),
    );
    stream.write_all(head.as_bytes()).unwrap();
    read_head(&mut stream);
    let client = rig.next_client();
    assert_eq!(read_frame(&mut stream), (0x89, Vec::new()));
    stream.write_all(&frame(0x8a, b"")).unwrap();
    assert_eq!(read_frame(&mut stream).0, 0x89);
    assert_eq!(rig.next(), Told::Closed(client));
}

fn own_address() -> Option<std::net::IpAddr> {
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Connecting a datagram socket sends nothing; it only chooses the way out.
    probe.connect("192.0.2.1:9").ok()?;
    let own = probe.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}
