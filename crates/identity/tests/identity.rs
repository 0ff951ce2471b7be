//! Keys, signatures and files, with `ssh-keygen` as the other implementation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use ddes_identity::{
    ArmorError, AuthorizedKeys, Contact, KeyError, KeyFileError, KnownServers, Namespace,
    PublicKey, Role, ServerAddress, SigningKey, read_private, read_public, signed_data,
};
use ssh_key::{Algorithm, HashAlg, LineEnding, Signature, SshSig};

/// A folder of one test, removed after it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("ddes-identity-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn ssh_keygen(folder: &Folder, arguments: &[&str], input: &[u8]) -> (bool, String) {
    let stdin = folder.file("stdin");
    std::fs::write(&stdin, input).unwrap();
    let output = Command::new("ssh-keygen")
        .args(arguments)
        .current_dir(&folder.0)
        .stdin(Stdio::from(std::fs::File::open(stdin).unwrap()))
        .output()
        .unwrap_or_else(|error| panic!("ssh-keygen (package openssh-client): {error}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn make_key(folder: &Folder, flags: &[&str]) -> Vec<u8> {
    let made = ssh_keygen(folder, &[&["-q", "-f", "key", "-C", "anna"], flags].concat(), b"");
    assert!(made.0, "{}", made.1);
    std::fs::read(folder.file("key")).unwrap()
}

fn at(text: &str) -> ServerAddress {
    text.parse().unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

#[test]
fn a_key_of_ssh_keygen_is_read_and_has_its_fingerprint() {
    let folder = Folder::new("read");
    let private = read_private(&make_key(&folder, &["-t", "ed25519", "-N", ""]), None).unwrap();
    let public = std::fs::read_to_string(folder.file("key.pub")).unwrap();
    assert_eq!(read_public(&public).unwrap(), private.public());
    let (_, listing) = ssh_keygen(&folder, &["-l", "-f", "key.pub"], b"");
    assert_eq!(listing.split(' ').nth(1).unwrap(), private.public().fingerprint());
}

#[test]
fn an_encrypted_key_opens_with_its_passphrase_only() {
    let folder = Folder::new("encrypted");
    let file = make_key(&folder, &["-t", "ed25519", "-N", "correct horse", "-a", "4"]);
    assert_eq!(read_private(&file, None).unwrap_err(), KeyFileError::Encrypted);
    assert_eq!(read_private(&file, Some(b"wrong")).unwrap_err(), KeyFileError::Passphrase);
    let public = std::fs::read_to_string(folder.file("key.pub")).unwrap();
    assert_eq!(
        read_private(&file, Some(b"correct horse")).unwrap().public(),
        read_public(&public).unwrap()
    );
}

#[test]
fn keys_of_other_algorithms_and_damaged_files_are_refused_by_name() {
    let folder = Folder::new("other");
    let file = make_key(&folder, &["-t", "ecdsa", "-N", ""]);
    let refused = read_private(&file, None).unwrap_err().to_string();
    assert!(refused.contains("ecdsa") || refused.contains("not an OpenSSH key file"), "{refused}");
    for damaged in [&b""[..], b"hello", &file[..file.len() / 2], &[0xff; 100_000]] {
        assert!(matches!(read_private(damaged, None), Err(KeyFileError::Malformed(_))));
    }
}

#[test]
fn a_file_of_ours_is_read_by_ssh_keygen() {
    let folder = Folder::new("written");
    let path = folder.file("ours");
    std::fs::write(&path, key(7).to_openssh("ddes").unwrap().as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (read, public) = ssh_keygen(&folder, &["-y", "-f", "ours"], b"");
    assert!(read, "{public}");
    assert_eq!(read_public(&public).unwrap(), key(7).public());
    assert_eq!(
        read_private(&std::fs::read(path).unwrap(), None).unwrap().public(),
        key(7).public()
    );
}

#[test]
fn a_signature_of_ssh_keygen_verifies_here() {
    let folder = Folder::new("sign");
    let private = read_private(&make_key(&folder, &["-t", "ed25519", "-N", ""]), None).unwrap();
    let (signed, blob) =
        ssh_keygen(&folder, &["-Y", "sign", "-n", "ddes2-client", "-f", "key"], b"message");
    assert!(signed, "{blob}");
    let pem = &blob[blob.find("-----BEGIN").unwrap()..];
    let end =
        pem.find("-----END SSH SIGNATURE-----").unwrap() + "-----END SSH SIGNATURE-----".len();
    let signature: [u8; 64] =
        SshSig::from_pem(&pem[..end]).unwrap().signature_bytes().try_into().unwrap();
    let public = private.public();
    public.verify(Namespace::Client, b"message", &signature).unwrap();
    assert!(public.verify(Namespace::Server, b"message", &signature).is_err());
    assert_eq!(signature, private.sign(Namespace::Client, b"message"));
}

#[test]
fn a_signature_of_ours_verifies_with_ssh_keygen() {
    let folder = Folder::new("verify");
    let line = key(7).public().to_openssh();
    std::fs::write(folder.file("signers"), format!("anna {line}\n")).unwrap();
    let public = ssh_key::PublicKey::from_openssh(&line).unwrap();
    let raw =
        Signature::new(Algorithm::Ed25519, key(7).sign(Namespace::Server, b"message")).unwrap();
    let blob =
        SshSig::new(public.key_data().clone(), "ddes2-server", HashAlg::Sha512, raw).unwrap();
    std::fs::write(folder.file("sig"), blob.to_pem(LineEnding::LF).unwrap()).unwrap();
    let verify = |namespace: &str, message: &[u8]| {
        let arguments =
            ["-Y", "verify", "-f", "signers", "-I", "anna", "-s", "sig", "-n", namespace];
        ssh_keygen(&folder, &arguments, message)
    };
    let (good, text) = verify("ddes2-server", b"message");
    assert!(good, "{text}");
    assert!(!verify("ddes2-server", b"massage").0);
    assert!(!verify("ddes2-client", b"message").0);
}

#[test]
fn an_armored_signature_of_either_verifies_with_the_other() {
    let folder = Folder::new("armor");
    let line = key(7).public().to_openssh();
    std::fs::write(folder.file("signers"), format!("server {line}\n")).unwrap();
    let armor = key(7).sign_armored(Namespace::Receipt, b"sum: 92\n").unwrap();
    std::fs::write(folder.file("sig"), &armor).unwrap();
    let verify = |message: &[u8]| {
        let arguments =
            ["-Y", "verify", "-f", "signers", "-I", "server", "-s", "sig", "-n", "ddes2-receipt"];
        ssh_keygen(&folder, &arguments, message)
    };
    let (good, text) = verify(b"sum: 92\n");
    assert!(good, "{text}");
    assert!(!verify(b"sum: 93\n").0);

    let private = read_private(&make_key(&folder, &["-t", "ed25519", "-N", ""]), None).unwrap();
    let sign = |flags: &[&str]| {
        let sign = ["-Y", "sign", "-n", "ddes2-receipt", "-f", "key"];
        let (signed, text) = ssh_keygen(&folder, &[&sign[..], flags].concat(), b"sum: 92\n");
        assert!(signed, "{text}");
        let end = "-----END SSH SIGNATURE-----\n";
        text[text.find("-----BEGIN").unwrap()..text.find(end).unwrap() + end.len()].to_owned()
    };
    let theirs = sign(&[]);
    let public = private.public();
    public.verify_armored(Namespace::Receipt, b"sum: 92\n", &theirs).unwrap();
    let check = |armor: &str, key: &PublicKey, namespace, message: &[u8]| {
        key.verify_armored(namespace, message, armor).unwrap_err()
    };
    let refused = check(&theirs, &public, Namespace::Receipt, b"sum: 93\n");
    assert!(matches!(refused, ArmorError::Signature(_)), "{refused:?}");
    let refused = check(&theirs, &key(7).public(), Namespace::Receipt, b"sum: 92\n");
    assert_eq!(refused, ArmorError::Key(public.fingerprint()));
    let refused = check(&theirs, &public, Namespace::Server, b"sum: 92\n");
    assert!(matches!(refused, ArmorError::Purpose(_)), "{refused:?}");
    let refused =
        check(&sign(&["-O", "hashalg=sha256"]), &public, Namespace::Receipt, b"sum: 92\n")
            .to_string();
    assert!(refused.contains("sha256"), "{refused}");
    for cut in [0, 40, theirs.len() / 2, theirs.len() - 4] {
        let refused = check(&theirs[..cut], &public, Namespace::Receipt, b"sum: 92\n");
        assert!(matches!(refused, ArmorError::Malformed(_)), "{cut}: {refused:?}");
    }
}

/// P-15.
#[test]
fn the_signed_data_is_the_one_of_the_sshsig_library() {
    let theirs = SshSig::signed_data("ddes2-client", HashAlg::Sha512, b"m").unwrap();
    assert_eq!(signed_data(Namespace::Client, b"m"), theirs);
}

#[test]
fn every_bit_of_a_signature_counts() {
    let (key, message) = (key(7), b"h and keys");
    let signature = key.sign(Namespace::Client, message);
    key.public().verify(Namespace::Client, message, &signature).unwrap();
    for bit in 0..512 {
        let mut changed = signature;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(key.public().verify(Namespace::Client, message, &changed).is_err(), "bit {bit}");
    }
}

/// P-16.
#[test]
fn keys_that_prove_nothing_are_refused() {
    let le = |low: u8, middle: u8, high: u8| {
        let mut bytes = [middle; 32];
        (bytes[0], bytes[31]) = (low, high);
        bytes
    };
    // y = 1, 0 and -1: orders 1, 4 and 2.
    for small in [le(1, 0, 0), le(0, 0, 0), le(0xec, 0xff, 0x7f)] {
        assert_eq!(PublicKey::new(&small), Err(KeyError::SmallOrder));
    }
    // y + p for y = 0 … 18, either sign: a second encoding.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            assert_eq!(PublicKey::new(&le(low, 0xff, high)), Err(KeyError::Malformed));
        }
    }
}

#[test]
fn the_id_is_a_uuid_of_version_8_made_of_the_fingerprint() {
    let uuid = key(7).public().uuid();
    assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (8, 2));
    let line = key(7).public().to_openssh();
    let digest = ssh_key::PublicKey::from_openssh(&line).unwrap().fingerprint(HashAlg::Sha256);
    assert_eq!(uuid[..6], digest.as_bytes()[..6]);
    assert_ne!(uuid, key(8).public().uuid());
}

#[test]
fn authorized_keys_grant_roles_names_and_terms() {
    let line = |seed: u8| key(seed).public().to_openssh();
    let text = format!(
        "# who may connect\n\n{} anna@laptop\nddes-role=\"operator\",ddes-name=\"the, ops\" {}\n\
         expiry-time=\"20300101Z\" {}\nexpiry-time=\"203001010000Z\",ddes-role=\"client\" {} late\n",
        line(1),
        line(2),
        line(3),
        line(4)
    );
    let (keys, errors) = AuthorizedKeys::parse(&text);
    assert_eq!((keys.len(), errors), (4, vec![]));
    let find = |seed: u8, now: i64| keys.find(&key(seed).public(), now).cloned();
    let anna = find(1, 0).unwrap();
    assert_eq!((anna.role, anna.name.as_deref()), (Role::Client, Some("anna@laptop")));
    let ops = find(2, 0).unwrap();
    assert_eq!((ops.role, ops.name.as_deref()), (Role::Operator, Some("the, ops")));
    // 2030-01-01 in seconds: date -u -d 2030-01-01 +%s
    for seed in [3, 4] {
        assert!(find(seed, 1_893_455_999).is_some() && find(seed, 1_893_456_000).is_none());
    }
    assert!(find(5, 0).is_none());
}

#[test]
fn a_line_that_is_not_understood_grants_nothing_and_the_others_hold() {
    let line = key(1).public().to_openssh();
    let bad = [
        "from=\"10.0.0.1\" ",
        "ddes-role=\"king\" ",
        "expiry-time=\"20300101\" ",
        "expiry-time=\"20301301Z\" ",
        "expiry-time=\"2030\" ",
        "ssh-rsa ",
        "\"open ",
    ];
    let text: String = bad.iter().map(|options| format!("{options}{line}\n")).collect();
    let good = key(2).public().to_openssh();
    let (keys, errors) = AuthorizedKeys::parse(format!("{text}nothing\n{good}\n"));
    assert_eq!(keys.len(), 1);
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(errors[0].to_string().contains("option 'from' is not known here"), "{}", errors[0]);
}

/// OpenSSH keeps the earliest of two terms; which role was meant nobody knows.
#[test]
fn a_line_with_an_option_twice_grants_nothing() {
    let line = key(1).public().to_openssh();
    let twice = [
        "expiry-time=\"20200101Z\",expiry-time=\"20990101Z\" ",
        "ddes-role=\"client\",ddes-role=\"operator\" ",
        "ddes-role=\"operator\",ddes-role=\"operator\" ",
        "ddes-name=\"a\",ddes-role=\"client\",ddes-name=\"b\" ",
    ];
    let text: String = twice.iter().map(|options| format!("{options}{line}\n")).collect();
    let (keys, errors) = AuthorizedKeys::parse(&text);
    assert!(keys.is_empty());
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(errors[0].why, "option 'expiry-time' appears twice, so the key is refused");
}

#[test]
fn a_name_moves_no_cursor_turns_nothing_round_and_hides_nothing() {
    let line = |seed: u8| key(seed).public().to_openssh();
    let text = format!(
        "{} \u{1b}]0;pwned\u{7}\u{1b}[2Janna\u{202e}\u{200b}\u{e0041}\u{feff}\n\
         ddes-name=\"b\u{2066}er\u{2028}ta\" {}\n{} \u{200b}\u{3164}\nfrom=\"\u{1b}[2J\",\u{202e}x {}\n",
        line(1),
        line(2),
        line(3),
        line(4)
    );
    let (keys, errors) = AuthorizedKeys::parse(&text);
    let name = |seed: u8| keys.get(&key(seed).public()).and_then(|grant| grant.name.as_deref());
    assert_eq!([name(1), name(2), name(3)], [Some("]0;pwned[2Janna"), Some("berta"), None]);
    let ddes_identity::LineError { line, why } = &errors[0];
    assert_eq!(
        (errors.len(), *line, why.contains('\u{1b}') || why.contains('\u{202e}')),
        (1, 4, false),
        "{why}"
    );
}

#[test]
fn a_server_is_known_met_first_or_changed() {
    let mut servers = KnownServers::parse("# mine\n\n").unwrap();
    let (ours, other) = (key(1).public(), key(2).public());
    assert_eq!(servers.contact(&at("Counter.example:5566"), &ours), Contact::First);
    servers.add(&at("Counter.example:5566"), ours);
    servers.add(&at("counter.example:5566"), ours);
    assert_eq!(servers.contact(&at("counter.example:5566"), &ours), Contact::Known);
    assert_eq!(
        servers.contact(&at("counter.example:5566"), &other),
        Contact::Changed { known: vec![ours] }
    );
    // Another port is another server.
    assert_eq!(servers.contact(&at("counter.example:5567"), &ours), Contact::First);
    let read = KnownServers::parse(servers.to_bytes()).unwrap();
    assert_eq!(read, servers);
    assert_eq!((servers.remove(&at("COUNTER.example:5566")), servers.iter().count()), (1, 0));
    for (line, text) in
        [(1, "counter.example:5566\n"), (2, "\ncounter.example:5566 ssh-ed25519 AAAA\n")]
    {
        assert_eq!(KnownServers::parse(text).unwrap_err().line, line);
    }
}

#[test]
fn nothing_secret_is_shown() {
    let shown = format!("{:?}", key(7));
    assert_eq!(shown, "SigningKey(..)");
}

/// Found by fuzzing: it asked for some 4 million rounds.
#[test]
fn a_passphrase_that_would_take_for_ever_is_refused() {
    let file = include_bytes!("too-many-rounds.key");
    assert!(matches!(read_private(file, Some(b"passphrase")), Err(KeyFileError::Rounds { .. })));
}
