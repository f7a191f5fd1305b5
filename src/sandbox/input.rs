//! A command's standard input, where it has one: a pipe whose reading end travels to the supervisor over a socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// The writing end; dropping it is the end of the input.
#[derive(Debug)]
pub struct CommandInput(OwnedFd);

impl CommandInput {
    /// Writes what the pipe takes now and returns how much that was. Fails if nobody can read it any more.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match rustix::io::write(&self.0, &bytes[written..]) {
                Ok(n) => written += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written)
    }
}

/// Makes a pipe; the second value is for the command.
pub(super) fn pipe() -> io::Result<(CommandInput, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    ioctl_fionbio(&writer, true)?;
    Ok((CommandInput(writer.into()), reader.into()))
}

/// Sends the reading end to a supervisor, with one byte.
pub(super) fn hand_over(socket: &impl AsFd, reader: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let readers = [reader.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&readers));
    let byte = [IoSlice::new(&[0])];
    rustix::net::sendmsg(socket, &byte, &mut control, SendFlags::empty())?;
    Ok(())
}

/// Takes it in the supervisor. Blocks until it comes.
pub(super) fn take_over(socket: &impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::io::retry_on_intr(|| rustix::net::recvmsg(socket, &mut bytes, &mut control, flags))?;
    let reader = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut readers) => readers.next(),
        _ => None,
    });
    reader.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_reading_end_arrives_and_reads_what_is_written() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut input, reader) = pipe().unwrap();
        hand_over(&near, &reader).unwrap();
        drop(reader);
        let mut reader = std::fs::File::from(take_over(&far).unwrap());
        assert_eq!(input.write("你好".as_bytes()).unwrap(), 6);
        drop(input);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "你好");
    }

    #[test]
    fn a_full_pipe_takes_a_part_and_a_closed_one_nothing() {
        let (mut input, reader) = pipe().unwrap();
        let large = vec![b'x'; 1 << 20];
        let taken = input.write(&large).unwrap();
        assert!(taken > 0 && taken < large.len());
        drop(reader);
        assert!(input.write(b"x").is_err());
    }
}
