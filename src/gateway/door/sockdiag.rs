//! Asks the kernel which user owns the other end of a loopback connection: one exact question over NETLINK_SOCK_DIAG.
//!
//! Layouts: sock_diag(7), `struct inet_diag_req_v2` and `struct inet_diag_msg` of `linux/inet_diag.h`, built and read by
//! hand. The kernel answers within the call, so this does not block. Never lists sockets and never reads /proc, which
//! takes milliseconds and shows a closed socket as user 0.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

/// The answer waits before the request returns; the timeout is for a kernel that lost it.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(50);
const SEQUENCE: u32 = 1;

const NLMSG_HEADER: usize = 16;
const REQUEST_BYTES: usize = NLMSG_HEADER + 56;
const REPLY_BYTES: usize = NLMSG_HEADER + 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_ESTABLISHED: u8 = 1;
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// Returns the user of the socket whose own address is `client` and whose peer is `server`.
///
/// Fails unless exactly that socket is established and still held by a process.
pub(super) fn owner(client: SocketAddr, server: SocketAddr) -> io::Result<u32> {
    let request = request(client, server)?;
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    // Port 0 is the kernel; a connected socket takes nobody else's messages.
    connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    send(&socket, &request, SendFlags::empty())?;
    let mut buffer = [0; 512];
    let (read, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
    read_reply(&buffer[..read], client, server)
}

fn request(client: SocketAddr, server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(REQUEST_BYTES);
    bytes.extend((REQUEST_BYTES as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend(SEQUENCE.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    let (family, id) = socket_id(client, server)?;
    bytes.extend([family, IPPROTO_TCP, 0, 0]);
    bytes.extend((1u32 << TCP_ESTABLISHED).to_ne_bytes());
    bytes.extend(id);
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(NO_COOKIE);
    Ok(bytes)
}

/// Family, then ports and addresses as `struct inet_diag_sockid` holds them. IPv4 addresses mapped into IPv6 are asked
/// for as IPv4: the kernel finds the socket whichever family made it.
fn socket_id(client: SocketAddr, server: SocketAddr) -> io::Result<(u8, Vec<u8>)> {
    let mut id = Vec::with_capacity(36);
    id.extend(client.port().to_be_bytes());
    id.extend(server.port().to_be_bytes());
    let family = match (client.ip().to_canonical(), server.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            for address in [from, to] {
                id.extend(address.octets());
                id.extend([0; 12]);
            }
            AF_INET
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            id.extend(from.octets());
            id.extend(to.octets());
            AF_INET6
        }
        _ => return Err(unexpected("the ends differ in family")),
    };
    Ok((family, id))
}

fn read_reply(reply: &[u8], client: SocketAddr, server: SocketAddr) -> io::Result<u32> {
    let kind = u16_at(reply, 4)?;
    if kind != SOCK_DIAG_BY_FAMILY || u32_at(reply, 8)? != SEQUENCE {
        return Err(unexpected("no such socket"));
    }
    if reply.len() < REPLY_BYTES || (u32_at(reply, 0)? as usize) < REPLY_BYTES {
        return Err(unexpected("the answer is cut"));
    }
    let body = &reply[NLMSG_HEADER..REPLY_BYTES];
    let (_, id) = socket_id(client, server)?;
    if body[1] != TCP_ESTABLISHED {
        return Err(unexpected("the socket is not established"));
    }
    if body[4..8] != id[..4] {
        return Err(unexpected("the answer is about another socket"));
    }
    let user = u32_at(body, 64)?;
    let inode = u32_at(body, 68)?;
    if inode == 0 {
        return Err(unexpected("no process holds the socket"));
    }
    Ok(user)
}

fn unexpected(why: &'static str) -> io::Error {
    io::Error::other(why)
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let field = bytes
        .get(at..at + 2)
        .and_then(|field| field.try_into().ok());
    field
        .map(u16::from_ne_bytes)
        .ok_or_else(|| unexpected("the answer is cut"))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let field = bytes
        .get(at..at + 4)
        .and_then(|field| field.try_into().ok());
    field
        .map(u32::from_ne_bytes)
        .ok_or_else(|| unexpected("the answer is cut"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Stdio};

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn accepted(listener: &TcpListener) -> (SocketAddr, SocketAddr, TcpStream) {
        let (stream, peer) = listener.accept().unwrap();
        (peer, stream.local_addr().unwrap(), stream)
    }

    #[test]
    fn own_connections_are_ours_in_both_families_and_mapped() {
        for (bind, connect_to) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("[::1]:0", "[::1]"),
            ("[::]:0", "127.0.0.1"),
            ("0.0.0.0:0", "[::ffff:127.0.0.1]"),
        ] {
            let listener = TcpListener::bind(bind).unwrap();
            let port = listener.local_addr().unwrap().port();
            let _client = TcpStream::connect(format!("{connect_to}:{port}")).unwrap();
            let (peer, local, _stream) = accepted(&listener);
            assert_eq!(
                owner(peer, local).unwrap(),
                own_uid(),
                "{bind} {connect_to}"
            );
        }
    }

    #[test]
    fn a_closed_or_unknown_socket_has_no_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, local, _stream) = accepted(&listener);
        drop(client);
        owner(peer, local).unwrap_err();

        // The listener itself must not answer for a connection that is not there.
        let nobody = SocketAddr::new(peer.ip(), 1);
        owner(nobody, local).unwrap_err();
        owner(local, nobody).unwrap_err();
    }

    #[test]
    fn another_user_is_told_apart() {
        if own_uid() != 0 {
            return; // Only root can act as somebody else.
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo up; read -r _");
        let mut child = Command::new("setpriv")
            .args(["--reuid", "65534", "--clear-groups", "bash", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "up\n");
        let (peer, local, _stream) = accepted(&listener);
        assert_eq!(owner(peer, local).unwrap(), 65534);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    fn reply_for(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
        let mut reply = vec![0; REPLY_BYTES];
        reply[..4].copy_from_slice(&(REPLY_BYTES as u32).to_ne_bytes());
        reply[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        reply[8..12].copy_from_slice(&SEQUENCE.to_ne_bytes());
        let (family, id) = socket_id(client, server).unwrap();
        reply[16] = family;
        reply[17] = TCP_ESTABLISHED;
        reply[20..56].copy_from_slice(&id);
        reply[80..84].copy_from_slice(&1000u32.to_ne_bytes());
        reply[84..88].copy_from_slice(&7u32.to_ne_bytes());
        reply
    }

    #[test]
    fn a_reply_must_fit_in_every_field() {
        let client = "127.0.0.1:5000".parse().unwrap();
        let server = "127.0.0.1:6000".parse().unwrap();
        let good = reply_for(client, server);
        assert_eq!(read_reply(&good, client, server).unwrap(), 1000);
        for (at, value, what) in [
            (4, 2, "an error message"),
            (8, 9, "another sequence"),
            (17, 6, "a waiting state"),
            (17, 10, "a listener"),
            (20, 99, "another port"),
            (84, 0, "no inode"),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(read_reply(&bad, client, server).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn broken_replies_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..200), keep in 0usize..REPLY_BYTES) {
            let client = "127.0.0.1:5000".parse().unwrap();
            let server = "127.0.0.1:6000".parse().unwrap();
            prop_assert!(read_reply(&bytes, client, server).is_err());
            prop_assert!(read_reply(&reply_for(client, server)[..keep], client, server).is_err());
        }
    }
}
