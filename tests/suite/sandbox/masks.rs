//! Private files are covered, wherever they lie; and what happens where the system gives no mount namespace.

use std::path::PathBuf;
use std::process::Command;

use picobot::sandbox::{Call, End, OUTPUT_CAP_BYTES, Sandbox};
use picobot::threads::CancelToken;

use super::{CEILING, Ground, has, policy};

const ROLE: &str = "PICOBOT_TEST_NO_MOUNTS";

/// A ground with a private file in the workspace and one in a folder that is writable besides.
fn ground() -> (Ground, tempfile::TempDir) {
    let more = tempfile::tempdir().unwrap();
    std::fs::create_dir(more.path().join("keys")).unwrap();
    std::fs::write(more.path().join("keys/key"), "planted").unwrap();
    let private = more.path().join("keys");
    let mut ground = Ground::with(|policy| policy.write_paths = vec![more.path().into()]);
    std::fs::write(ground.workspace.join("db"), "planted").unwrap();
    let mut policy = ground.sandbox.policy().clone();
    policy.private = vec![ground.workspace.join("db"), private, "/no/such/file".into()];
    ground.sandbox = Sandbox::new(policy);
    (ground, more)
}

#[test]
fn private_files_and_folders_are_covered_and_the_rest_is_not() {
    let (ground, more) = ground();
    std::fs::write(more.path().join("open"), "seen").unwrap();
    let more = more.path().display();
    let outcome = ground.run(&format!(
        "cat db {more}/keys/key; ls {more}/keys; touch {more}/keys/new; cat {more}/open && echo x >{more}/new"
    ));
    assert_eq!(outcome.end, End::Exited(0), "{}", outcome.output);
    assert!(outcome.protection.masked);
    assert!(outcome.output.ends_with("seen"), "{}", outcome.output);
    assert_eq!(
        outcome.output.matches("ermission denied").count(),
        4,
        "{}",
        outcome.output
    );
    // Nothing of that shows outside, and the file is what it was.
    assert_eq!(
        std::fs::read_to_string(ground.workspace.join("db")).unwrap(),
        "planted"
    );
}

#[test]
fn what_is_not_writable_is_read_only_and_the_rest_is_not() {
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    let file = outside.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let file = file.display();
    let command = format!("chmod 600 {file}; echo x >w && chmod 640 w && chmod 640 $HOME $TMPDIR");
    let outcome = Ground::new().run(&command);
    assert_eq!(outcome.end, End::Exited(0), "{}", outcome.output);
    assert!(
        outcome.output.contains("Read-only file system"),
        "{}",
        outcome.output
    );
    let inside = Ground::with(|policy| policy.write_paths = vec![outside.path().into()]);
    let all = Ground::with(|policy| policy.write_paths = vec!["/".into()]);
    for ground in [inside, all] {
        let outcome = ground.run(&format!("chmod 600 {file} && echo y >{file}"));
        assert_eq!(outcome.end, End::Exited(0), "{}", outcome.output);
    }
}

#[test]
fn calls_side_by_side_have_their_own_views() {
    let (ground, _more) = ground();
    let outcome = ground.run("cat db");
    assert_eq!(outcome.end, End::Exited(1));
    std::fs::write(ground.workspace.join("db"), "changed").unwrap();
    assert_eq!(ground.run("cat db").end, End::Exited(1));
}

#[test]
fn a_temporary_folder_of_ones_own_replaces_the_machines() {
    let root = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
    let workspace = root.path().join("workspace");
    std::fs::create_dir(&workspace).unwrap();
    let sandbox = Sandbox::new(policy(&root.path().join("run")));
    let run = |command: &str| {
        let call = Call {
            workspace: &workspace,
            cwd: &workspace,
            argv: ["/bin/bash", "-c", command].map(Into::into).to_vec(),
            env: Vec::new(),
            deadline: CEILING,
            output_cap: OUTPUT_CAP_BYTES,
        };
        sandbox
            .run(&call, &CancelToken::new(), &mut |_| {})
            .unwrap()
    };
    let outcome = run("echo 1 >/tmp/a && cat $TMPDIR/a && touch /dev/shm/b && ls /tmp /dev/shm");
    assert_eq!(
        (outcome.end, outcome.output.as_str()),
        (End::Exited(0), "1\n/dev/shm:\nb\n\n/tmp:\na\n")
    );
    assert_eq!(run("cat /tmp/a; ls /dev/shm").output, "1\n");
}

/// Plays a gateway without mount namespaces when another test asks for it; passes at once otherwise.
#[test]
fn plays_a_system_without_mounts() {
    let Some(folder) = std::env::var_os(ROLE).map(PathBuf::from) else {
        return;
    };
    let workspace = folder.join("workspace");
    let mut policy = policy(&folder.join("temp"));
    policy.private = vec![folder.join("outside/db")];
    let run = |policy: &picobot::sandbox::Policy| {
        let call = Call {
            workspace: &workspace,
            cwd: &workspace,
            argv: ["/bin/bash", "-c", "cat db /etc/shadow; cat /etc/hostname >/dev/null && ls /etc >/dev/null && echo rest"]
                .map(Into::into)
                .to_vec(),
            env: Vec::new(),
            deadline: CEILING,
            output_cap: OUTPUT_CAP_BYTES,
        };
        let sandbox = Sandbox::new(policy.clone());
        sandbox.run(&call, &CancelToken::new(), &mut |_| {})
    };
    // Private files out of reach: nothing has to be covered, and Landlock leaves the system's secrets out.
    let outcome = run(&policy).unwrap();
    assert!(!outcome.protection.masked);
    assert!(
        outcome.output.contains("/etc/shadow: Permission denied"),
        "{}",
        outcome.output
    );
    assert!(outcome.output.ends_with("rest\n"), "{}", outcome.output);
    // Private files within reach: refused, with the way out.
    policy.private = vec![workspace.join("db")];
    let refusal = run(&policy).unwrap_err().to_string();
    assert!(refusal.contains("gateway.session_db_path"), "{refusal}");
    assert!(refusal.contains("sandbox.required"), "{refusal}");
    // Unless the settings say so.
    policy.required = false;
    let outcome = run(&policy).unwrap();
    assert!(outcome.output.starts_with("planted"), "{}", outcome.output);
    println!("played to the end");
}

#[test]
fn without_mount_namespaces_private_files_in_reach_mean_no_commands() {
    let ground = Ground::new();
    std::fs::write(ground.workspace.join("db"), "planted\n").unwrap();
    std::fs::write(ground.outside.join("db"), "planted\n").unwrap();
    let program = std::env::current_exe().unwrap();
    // Limits of a user namespace of its own, which nobody else notices.
    let script = "echo 0 >/proc/sys/user/max_mnt_namespaces && exec \"$0\" sandbox::masks::plays_a_system_without_mounts --exact --nocapture";
    if !has("/usr/bin/unshare")
        || !Command::new("/usr/bin/unshare")
            .args(["-Ur", "true"])
            .status()
            .unwrap()
            .success()
    {
        return;
    }
    let ran = Command::new("/usr/bin/unshare")
        .args(["-Ur", "/bin/sh", "-c", script])
        .arg(program)
        .env(ROLE, ground.workspace.parent().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success() && text.contains("played to the end"),
        "{text}"
    );
}
