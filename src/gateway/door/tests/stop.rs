//! Ending: everybody is told, nobody is waited for.

use super::*;
use std::sync::atomic::AtomicBool;

#[test]
fn clients_get_what_was_queued_and_then_1001() {
    let rig = Rig::new();
    let mut client = rig.connect();
    let id = rig.next_client();
    let _half_open = rig.raw();
    for n in 0..50 {
        rig.notify(id, n.to_string());
    }
    let addr = rig.addr;
    rig.stop();
    for n in 0..50 {
        assert_eq!(text(&mut client), n.to_string());
    }
    match client.read().unwrap() {
        Message::Close(Some(close)) => assert_eq!(u16::from(close.code), 1001),
        other => panic!("{other:?}"),
    }
    TcpStream::connect(addr).unwrap_err();
}

#[test]
fn a_stopped_door_takes_pushes_without_blocking() {
    let mut rig = Rig::new();
    rig.end();
    for _ in 0..2 * limits::OUTBOUND {
        rig.notify(ClientId(2), "late");
    }
    rig.sink.room();
}

#[test]
fn stopping_while_flooded_from_both_sides_joins() {
    let rig = Rig::with(|setup| setup.room = 16);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    let clients: Vec<_> = (0..4)
        .map(|_| (rig.upgraded(), rig.next_client()))
        .collect();
    for (n, (mut stream, id)) in clients.into_iter().enumerate() {
        let flag = is_over.clone();
        threads.push(
            crate::threads::spawn(format!("client-{n}"), 256 * 1024, move || {
                let bytes = frame(0x81, &[b'a'; 1000]).repeat(10);
                stream
                    .set_write_timeout(Some(Duration::from_millis(50)))
                    .unwrap();
                while !flag.load(Ordering::Relaxed) {
                    // Refused or full: the flood goes on until the test is over.
                    let _ = stream.write_all(&bytes);
                }
            })
            .unwrap(),
        );
        let (sink, flag) = (rig.sink.clone(), is_over.clone());
        threads.push(
            crate::threads::spawn(format!("pusher-{n}"), 256 * 1024, move || {
                while !flag.load(Ordering::Relaxed) {
                    sink.push(Outbound {
                        client: id,
                        request_id: None,
                        session: None,
                        body: Body::Notification {
                            content: "b".repeat(1000),
                        },
                    });
                }
            })
            .unwrap(),
        );
    }
    // The handler's queue is full and stays so.
    for _ in 0..16 {
        rig.next();
    }
    rig.stop();
    is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join_within(CEILING).unwrap();
    }
}
