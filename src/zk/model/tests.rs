use bytes::Bytes;

use super::*;
use crate::ids::ZkVersion;

fn session(model: &mut Model) -> SessionId {
    model.open_session([0; 16], 6_000, None, 0)
}

fn create(path: &str, mode: CreateMode) -> Write {
    Write::Create { path: path.into(), data: None, mode, acl: Acl::open() }
}

fn run(model: &mut Model, session: SessionId, write: Write) -> (Outcome, Events) {
    model.apply(session, Op::Write(write), 1_000)
}

fn event(session: SessionId, kind: WatchKind, path: &str) -> (SessionId, WatchEvent) {
    (session, WatchEvent { kind, path: path.into() })
}

#[test]
fn a_failed_multi_leaves_no_trace() {
    let mut model = Model::default();
    let me = session(&mut model);
    run(&mut model, me, create("/a", CreateMode::Persistent)).0.unwrap();
    run(&mut model, me, create("/a/gone", CreateMode::Ephemeral)).0.unwrap();
    model.apply(me, Op::GetChildren { path: "/a".into(), watch: true }, 0).0.unwrap();
    let before: Vec<_> = model.paths().iter().map(|path| model.inspect(path)).collect();
    let writes = vec![
        create("/a/n-", CreateMode::PersistentSequential),
        Write::SetData { path: "/a".into(), data: Some(Bytes::from_static(b"x")), version: ZkVersion(0) },
        Write::Delete { path: "/a/gone".into(), version: ZkVersion(-1) },
        Write::Check { path: "/a".into(), version: ZkVersion(7) },
        create("/b", CreateMode::Persistent),
    ];
    let (outcome, events) = model.apply(me, Op::Multi(writes), 2_000);
    let done = || Ok(Reply::Checked);
    let results = vec![done(), done(), done(), Err(ZkError::BadVersion), Err(ZkError::RuntimeInconsistency)];
    assert_eq!(outcome, Ok(Reply::Multi(results)));
    assert!(events.is_empty());
    let after: Vec<_> = model.paths().iter().map(|path| model.inspect(path)).collect();
    assert_eq!(before, after);
    assert_eq!(model.ephemerals(me, "/"), ["/a/gone"]);
}

#[test]
fn an_expired_session_loses_its_nodes_in_one_transaction() {
    let mut model = Model::default();
    let (dying, watching) = (session(&mut model), session(&mut model));
    run(&mut model, dying, create("/ids", CreateMode::Persistent)).0.unwrap();
    run(&mut model, dying, create("/ids/1", CreateMode::Ephemeral)).0.unwrap();
    run(&mut model, dying, create("/ids/2", CreateMode::Ephemeral)).0.unwrap();
    model.apply(watching, Op::GetChildren { path: "/ids".into(), watch: true }, 0).0.unwrap();
    model.apply(watching, Op::Exists { path: "/ids/2".into(), watch: true }, 0).0.unwrap();
    model.touch(watching, 5_000);
    assert_eq!(model.next_expiry(), Some(6_000));
    assert_eq!(model.tick(5_999), (vec![], vec![]));
    let zxid = model.last_zxid();
    let (expired, events) = model.tick(6_000);
    assert_eq!(expired, [dying]);
    let expected = [event(watching, WatchKind::ChildrenChanged, "/ids"), event(watching, WatchKind::Deleted, "/ids/2")];
    assert_eq!(events, expected);
    assert_eq!(model.last_zxid(), zxid + 1);
    let stat = model.inspect("/ids").unwrap().1;
    assert_eq!((stat.num_children, stat.cversion, stat.pzxid), (0, 4, zxid + 1));
    let op = Op::Exists { path: "/".into(), watch: false };
    assert_eq!(model.apply(dying, op, 0).0, Err(ZkError::SessionExpired));
}

#[test]
fn watches_end_with_the_connection_and_set_watches_catches_up() {
    let mut model = Model::default();
    let (me, other) = (session(&mut model), session(&mut model));
    run(&mut model, other, create("/a", CreateMode::Persistent)).0.unwrap();
    for path in ["/a", "/b"] {
        let _ = model.apply(me, Op::Exists { path: path.into(), watch: true }, 0);
    }
    let seen = model.last_zxid();
    model.disconnect(me);
    let set = Write::SetData { path: "/a".into(), data: None, version: ZkVersion(-1) };
    assert!(run(&mut model, other, set).1.is_empty());
    assert!(!model.reopen_session(me, &[1; 16], 6_000, None, 10));
    assert!(model.reopen_session(me, &[0; 16], 6_000, None, 10));
    let old = OldWatches {
        relative_zxid: seen,
        data: vec!["/a".into(), "/gone".into()],
        exist: vec!["/b".into()],
        child: vec!["/a".into()],
        ..OldWatches::default()
    };
    let expected = [event(me, WatchKind::DataChanged, "/a"), event(me, WatchKind::Deleted, "/gone")];
    assert_eq!(model.set_watches(me, &old), expected);
    let (_, events) = run(&mut model, other, create("/b", CreateMode::Persistent));
    assert_eq!(events, [event(me, WatchKind::Created, "/b")]);
    let (_, events) = run(&mut model, other, create("/a/c", CreateMode::Persistent));
    assert_eq!(events, [event(me, WatchKind::ChildrenChanged, "/a")]);
}

#[test]
fn a_deletion_is_told_once_to_a_session_that_watches_data_and_children() {
    let mut model = Model::default();
    let me = session(&mut model);
    run(&mut model, me, create("/a", CreateMode::Persistent)).0.unwrap();
    model.apply(me, Op::GetData { path: "/a".into(), watch: true }, 0).0.unwrap();
    model.apply(me, Op::GetChildren { path: "/a".into(), watch: true }, 0).0.unwrap();
    let (_, events) = run(&mut model, me, Write::Delete { path: "/a".into(), version: ZkVersion(-1) });
    assert_eq!(events, [event(me, WatchKind::Deleted, "/a")]);
    assert_eq!(model.watch_count(), 0);
}

#[test]
fn used_containers_go_when_empty() {
    let mut model = Model::default();
    let me = session(&mut model);
    let container =
        Step::Create { path: "/c".into(), data: None, kind: NodeKind::Container, sequential: false, acl: Acl::open() };
    model.write(me, container, 0).0.unwrap();
    model.tick(0);
    assert!(model.inspect("/c").is_some());
    run(&mut model, me, create("/c/x", CreateMode::Persistent)).0.unwrap();
    run(&mut model, me, Write::Delete { path: "/c/x".into(), version: ZkVersion(-1) }).0.unwrap();
    model.touch(me, CONTAINER_CHECK_MS);
    model.tick(CONTAINER_CHECK_MS);
    assert!(model.inspect("/c").is_none());
}

#[test]
fn paths() {
    for good in ["/", "/a", "/a/b", "/a..", "/...", "/a b", "/\u{e4}", "/<default>"] {
        assert!(is_valid_path(good), "{good}");
    }
    for bad in ["", "a", "//", "/a/", "/a//b", "/.", "/a/..", "/a\u{1}", "/\u{7f}", "/\u{fffd}", "/\u{1f600}"] {
        assert!(!is_valid_path(bad), "{bad}");
    }
}

#[test]
fn digests_and_networks() {
    // Value of `DigestAuthenticationProvider user:secret`.
    let user = Identity::from_digest_credentials(b"user:secret");
    assert_eq!(user.user(), "user");
    let acl = |scheme: &str, id: &str| vec![Acl { perms: 31, scheme: scheme.into(), id: id.into() }];
    let caller = [Identity { scheme: "ip".into(), id: "10.1.2.3".into() }, user.clone()];
    assert!(check_permission(&acl("ip", "10.1.0.0/16"), PERM_READ, &caller).is_ok());
    assert!(check_permission(&acl("ip", "10.2.0.0/16"), PERM_READ, &caller).is_err());
    assert!(check_permission(&acl("digest", &user.id), PERM_READ, &caller).is_ok());
    assert_eq!(acl::complete(&acl("auth", ""), &caller).unwrap().to_vec(), acl("digest", &user.id));
    for (scheme, id) in [("auth", ""), ("world", "me"), ("digest", "user"), ("ip", "1.2.3"), ("sasl", "kafka")] {
        assert!(acl::complete(&acl(scheme, id), &caller[..1]).is_err(), "{scheme} {id}");
    }
    assert_eq!(mask_digests(&acl("digest", "u:p")), acl("digest", "u:x"));
}
