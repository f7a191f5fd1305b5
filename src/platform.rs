//! The few calls into the C library that have no safe wrapper. The only file with `unsafe`.

use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::thread::UnshareFlags;

/// From this size on a block is mapped for itself and given back at once when it is freed, in bytes.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: libc::c_int = 256 * 1024;

/// So much free memory stays at hand before the allocator shrinks its heap, in bytes: less would be fetched anew each turn.
#[cfg(target_env = "gnu")]
const KEPT_FREE: libc::c_int = 2 * 1024 * 1024;

/// Memory is given back at most this often: trimming costs a few milliseconds of faults afterwards.
const TRIM_PAUSE: Duration = Duration::from_secs(1);

/// Sets the allocator up for a small resident size; call first in `main`, before other threads exist.
///
/// One arena instead of eight for each core: threads here wait far more than they allocate. And a fixed size from which
/// on blocks are mapped: left to itself the allocator raises it to what was freed last, and keeps the next long answer.
pub fn tune_allocator() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: mallopt only sets a parameter of the allocator; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_FREE);
    }
}

/// Moves the calling thread into new namespaces.
pub fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    debug_assert!(!namespaces.contains(UnshareFlags::FILES));
    #[allow(unsafe_code)]
    // SAFETY: what makes the call unsafe is a file descriptor table of its own (`FILES`), which nobody here asks for.
    let result = unsafe { rustix::thread::unshare_unsafe(namespaces) };
    Ok(result?)
}

/// Makes every mount of the calling process's mount namespace read-only. What is open stays as it was opened.
pub fn make_mounts_read_only() -> io::Result<()> {
    let read_only = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    #[allow(unsafe_code)]
    // SAFETY: the path is a C string, and the kernel only reads as much of the structure as its size says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            &raw const read_only,
            size_of::<libc::mount_attr>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes every file descriptor beyond the three standard ones: what whoever started this process left open.
///
/// For the first lines of `main`, before the process has opened anything itself.
pub fn close_inherited() {
    const FIRST: libc::c_long = 3;
    #[allow(unsafe_code)]
    // SAFETY: nothing in this process owns a descriptor from 3 on yet.
    let result = unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, 0) };
    if result == 0 {
        return;
    }
    // Before Linux 5.9 there was no such call.
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let open: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| libc::c_long::from(*fd) >= FIRST)
        .collect();
    for fd in open {
        #[allow(unsafe_code)]
        // SAFETY: as above; the descriptor of the listing itself is closed already, which is an error and no harm.
        unsafe {
            libc::close(fd);
        }
    }
}

/// Takes our own program text out of this process's memory; what runs next is mapped again from the page cache.
///
/// The kernel maps 64 KiB around every page of code that is touched, so start-up and each burst leave nearly the whole
/// program resident, of which an idle gateway needs a few pages.
pub fn forget_code() {
    let Some(text) = text_mapping() else { return };
    #[allow(unsafe_code)]
    // SAFETY: a private, read-only, file-backed mapping: no page of it can hold unsaved data.
    let result = unsafe { libc::madvise(text.start as *mut _, text.len(), libc::MADV_DONTNEED) };
    if result != 0 {
        log::debug!("program text stays: {}", std::io::Error::last_os_error());
    }
}

/// Finds the executable part of our own file among the mappings.
fn text_mapping() -> Option<Range<usize>> {
    let program = std::fs::read_link("/proc/self/exe").ok()?;
    let program = program.to_str()?;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines()
        .filter(|line| line.ends_with(program))
        .find_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let is_text = fields.next()? == "r-xp";
            let address = |digits| usize::from_str_radix(digits, 16).ok();
            is_text.then_some(address(start)?..address(end)?)
        })
}

/// Gives free memory back to the system after a burst of work; does nothing if that was done within the last second.
/// `first` runs before, to free what else can be freed.
pub fn trim_memory_after_burst(first: impl FnOnce()) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let Ok(mut last) = LAST.try_lock() else {
        return;
    };
    if last.is_some_and(|at| at.elapsed() < TRIM_PAUSE) {
        return;
    }
    *last = Some(Instant::now());
    first();
    forget_code();
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: malloc_trim takes the allocator's own locks and moves no live block.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_runs_on_after_it_was_forgotten() {
        let text = text_mapping().expect("a program has text");
        let here = code_runs_on_after_it_was_forgotten as *const () as usize;
        assert!(text.contains(&here));
        forget_code();
        assert_eq!(text_mapping(), Some(text));
    }
}
