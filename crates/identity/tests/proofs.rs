//! What proves an identity, and what only looks like it: signatures, an agent's answers, key files,
//! lines of authorized_keys; and bounds at their ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ddes_identity::agent::{self, AgentError};
use ddes_identity::{
    ArmorError, AuthorizedKeys, Contact, FILE_BYTES_MAX, KeyError, KeyFileError, KnownServers,
    Namespace, PublicKey, Role, ServerAddress, SigningKey, read_private, read_public,
};
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{LineEnding, PrivateKey};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// P-15, P-16.
#[test]
fn signatures_are_verified_strictly() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/ddes2/signatures.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut taken = 0;
    for case in text.split("\n\n").filter(|case| !case.starts_with('#')) {
        let case: BTreeMap<_, _> = case.lines().filter_map(|line| line.split_once(": ")).collect();
        let public = PublicKey::new(&bytes(case["key"]).try_into().unwrap()).unwrap();
        let namespace = [Namespace::Server, Namespace::Client, Namespace::Receipt]
            .into_iter()
            .find(|namespace| namespace.as_str() == case["namespace"])
            .unwrap();
        let signature = bytes(case["signature"]).try_into().unwrap();
        let verified = public.verify(namespace, &bytes(case["message"]), &signature).is_ok();
        assert_eq!(verified, case["expect"] == "good", "{}", case["name"]);
        taken += u32::from(verified);
    }
    assert_eq!(taken, 1);
}

/// `u32 length || bytes`.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// The body of SSH_AGENT_SIGN_RESPONSE (draft-ietf-sshm-ssh-agent, section 3.6).
fn sign_response(algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    [vec![14], string(&[string(algorithm), string(signature)].concat())].concat()
}

const MESSAGE: &[u8] = b"handshake and keys";

#[test]
fn a_signature_of_an_agent_is_believed_only_if_it_verifies() {
    let signature = key(1).sign(Namespace::Client, MESSAGE);
    let heard =
        |answer: &[u8]| agent::signature(answer, &key(1).public(), Namespace::Client, MESSAGE);
    assert_eq!(heard(&sign_response(b"ssh-ed25519", &signature)), Ok(signature));
    let mut changed = signature;
    changed[63] ^= 1;
    for wrong in [
        changed,
        [0; 64],
        key(2).sign(Namespace::Client, MESSAGE),
        key(1).sign(Namespace::Server, MESSAGE),
        key(1).sign(Namespace::Client, b"another handshake"),
    ] {
        assert_eq!(heard(&sign_response(b"ssh-ed25519", &wrong)), Err(AgentError::Signature));
    }
}

#[test]
fn an_answer_of_an_agent_that_is_none_is_told_from_a_refusal() {
    let signature = key(1).sign(Namespace::Client, MESSAGE);
    let heard =
        |answer: &[u8]| agent::signature(answer, &key(1).public(), Namespace::Client, MESSAGE);
    let good = sign_response(b"ssh-ed25519", &signature);
    for length in 1..good.len() {
        assert_eq!(heard(&good[..length]), Err(AgentError::Malformed), "{length} bytes");
    }
    assert_eq!(heard(b""), Err(AgentError::Malformed));
    assert_eq!(heard(&[&good[..], &[0]].concat()), Err(AgentError::Malformed));
    let inner = [string(b"ssh-ed25519"), string(&signature), vec![0]].concat();
    for malformed in [
        sign_response(b"ssh-ed448", &signature),
        sign_response(b"ssh-ed25519", &signature[..63]),
        sign_response(b"ssh-ed25519", &[&signature[..], &[0]].concat()),
        [vec![14], string(&inner)].concat(),
        [vec![14], vec![0xff; 80]].concat(),
    ] {
        assert_eq!(heard(&malformed), Err(AgentError::Malformed));
    }
    // SSH_AGENT_FAILURE, SSH_AGENT_SUCCESS.
    for other in [5, 6] {
        assert_eq!(heard(&[other]), Err(AgentError::Refused));
    }
}

/// An agent of OpenSSH with one key, ended with the test.
struct Agent {
    process: Child,
    folder: PathBuf,
}

impl Agent {
    fn with(key: &SigningKey) -> Self {
        let folder = std::env::temp_dir().join(format!("ddes-agent-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("key");
        std::fs::write(&file, key.to_openssh("ddes").unwrap().as_bytes()).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let socket = folder.join("socket");
        let process = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("ssh-agent (package openssh-client): {error}"));
        let agent = Self { process, folder };
        drop(agent.connect());
        let added =
            Command::new("ssh-add").arg("-q").arg(&file).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
        agent
    }

    /// Waits until the agent listens, a minute at most.
    fn connect(&self) -> UnixStream {
        let socket = self.folder.join("socket");
        for _ in 0..12_000 {
            if let Ok(stream) = UnixStream::connect(&socket) {
                return stream;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the agent does not listen at {}", socket.display());
    }

    /// The body of its answer.
    fn ask(&self, request: &[u8]) -> Vec<u8> {
        // Of a request that is not whole it would await the rest.
        let (length, body) = request.split_first_chunk().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, body.len());
        let mut stream = self.connect();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request).unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let length = u32::from_be_bytes(length) as usize;
        assert!(length <= agent::ANSWER_BYTES_MAX);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        body
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

#[test]
fn the_agent_of_openssh_signs_what_we_would_sign() {
    let agent = Agent::with(&key(1));
    let public = key(1).public();
    let answer = agent.ask(&agent::request(&public, Namespace::Client, MESSAGE));
    let signature = agent::signature(&answer, &public, Namespace::Client, MESSAGE).unwrap();
    // Ed25519 has one signature for a message.
    assert_eq!(signature, key(1).sign(Namespace::Client, MESSAGE));
    for (namespace, message) in [(Namespace::Server, MESSAGE), (Namespace::Client, b"another")] {
        assert_eq!(
            agent::signature(&answer, &public, namespace, message),
            Err(AgentError::Signature)
        );
    }
    let stranger = key(2).public();
    let answer = agent.ask(&agent::request(&stranger, Namespace::Client, MESSAGE));
    assert_eq!(
        agent::signature(&answer, &stranger, Namespace::Client, MESSAGE),
        Err(AgentError::Refused)
    );
}

/// Signing with one key what names another as signer would give the private key away: Ed25519
/// hashes the public half into each signature.
#[test]
fn a_key_file_whose_public_half_is_another_key_is_refused() {
    let file = |public: u8, private: u8| {
        let public = Ed25519PublicKey(*key(public).public().as_bytes());
        let private = Ed25519PrivateKey::from_bytes(&[private; 32]);
        let key = PrivateKey::new(KeypairData::from(Ed25519Keypair { public, private }), "mixed")
            .unwrap();
        key.to_openssh(LineEnding::LF).unwrap()
    };
    let read = |public, private| read_private(file(public, private).as_bytes(), None);
    assert_eq!(read(1, 1).unwrap().public(), key(1).public());
    for (public, private) in [(1, 2), (2, 1)] {
        let refused = read(public, private).unwrap_err();
        let is_named =
            matches!(refused, KeyFileError::Key(KeyError::Malformed) | KeyFileError::Malformed(_));
        assert!(is_named, "{refused:?}");
    }
}

/// Of 1000 rounds a passphrase is asked for; the file of 1001 says so at once.
#[test]
fn a_passphrase_of_1000_rounds_is_taken_and_one_of_1001_is_not() {
    let read = |file: &[u8]| read_private(file, None).unwrap_err();
    assert_eq!(read(include_bytes!("1000-rounds.key")), KeyFileError::Encrypted);
    assert_eq!(read(include_bytes!("1001-rounds.key")), KeyFileError::Rounds { rounds: 1001 });
}

#[test]
fn files_are_read_up_to_their_longest_and_no_further() {
    // Each format has room for blanks.
    let line = format!("{} {}", key(1).public().to_openssh(), "c");
    let padded = |length: usize| format!("{line}{}", " ".repeat(length - line.len()));
    assert_eq!(read_public(padded(FILE_BYTES_MAX)).unwrap(), key(1).public());
    let too_long = format!("more than {FILE_BYTES_MAX} bytes");
    assert_eq!(FILE_BYTES_MAX, 65_536);
    assert_eq!(
        read_public(padded(FILE_BYTES_MAX + 1)).unwrap_err(),
        KeyFileError::Malformed(too_long.clone())
    );
    let read = |length: usize| match read_private(&vec![b'-'; length], None).unwrap_err() {
        KeyFileError::Malformed(why) => why,
        other => panic!("{other:?}"),
    };
    assert_ne!(read(FILE_BYTES_MAX), too_long);
    assert_eq!(read(FILE_BYTES_MAX + 1), too_long);
    let verify = |length: usize| {
        let armor = "-".repeat(length);
        match key(1).public().verify_armored(Namespace::Receipt, MESSAGE, &armor).unwrap_err() {
            ArmorError::Malformed(why) => why,
            other => panic!("{other:?}"),
        }
    };
    assert_ne!(verify(FILE_BYTES_MAX), too_long);
    assert_eq!(verify(FILE_BYTES_MAX + 1), too_long);
}

/// As in OpenSSH: what stands first was there first, and a line added below takes nothing from it
/// and gives it nothing.
#[test]
fn of_two_lines_for_a_key_the_first_one_holds() {
    let line = key(1).public().to_openssh();
    let both = [format!("{line} first"), format!("ddes-role=\"operator\" {line} second")];
    for (order, role, name) in [([0, 1], Role::Client, "first"), ([1, 0], Role::Operator, "second")]
    {
        let text = order.map(|i| both[i].clone()).join("\n");
        let (keys, errors) = AuthorizedKeys::parse(&text);
        assert_eq!((keys.len(), errors), (1, vec![]));
        let grant = keys.find(&key(1).public(), 0).unwrap();
        assert_eq!((grant.role, grant.name.as_deref()), (role, Some(name)));
    }
    // Also where the first one has expired.
    let text = format!("expiry-time=\"20300101Z\" {line}\n{line}\n");
    let (keys, _) = AuthorizedKeys::parse(&text);
    assert!(keys.find(&key(1).public(), 1_893_456_000).is_none());
}

/// PROTOCOL.sshsig: version 1, and a reserved string that is empty. Else there would be several
/// texts for one signature. Made in Python.
#[test]
fn an_armored_signature_has_its_version_and_nothing_reserved() {
    let verify =
        |armor: &str| key(7).public().verify_armored(Namespace::Receipt, b"sum: 92\n", armor);
    assert_eq!(verify(include_str!("armor-plain.txt")), Ok(()));
    for other in [include_str!("armor-reserved.txt"), include_str!("armor-version-2.txt")] {
        assert!(
            matches!(verify(other), Err(ArmorError::Purpose(_) | ArmorError::Malformed(_))),
            "{other}"
        );
    }
}

/// RFC 9562, section 5.8: version 8 is bits 48 to 51, the variant 64 and 65; the other 122 are the
/// fingerprint's.
#[test]
fn the_id_has_every_other_bit_of_the_fingerprint() {
    for seed in 1..=40 {
        let public = key(seed).public();
        let known = ssh_key::PublicKey::from_openssh(&public.to_openssh()).unwrap();
        let digest = known.fingerprint(ssh_key::HashAlg::Sha256);
        let first = u128::from_be_bytes(digest.as_bytes()[..16].try_into().unwrap());
        let expected = first & !(0xf << 76) & !(0b11 << 62) | 8 << 76 | 0b10 << 62;
        assert_eq!(u128::from_be_bytes(public.uuid()), expected, "{}", public.fingerprint());
        assert_eq!(format!("{public:?}"), format!("PublicKey({digest})"));
    }
}

#[test]
fn what_is_listed_is_counted_and_shown_expired_or_not() {
    let (empty, _) = AuthorizedKeys::parse("# nobody yet\n");
    assert!(empty.is_empty() && empty.iter().next().is_none());
    let lines = [1, 2].map(|seed| key(seed).public().to_openssh());
    let text = format!("{} anna\nexpiry-time=\"20010101Z\" {} bert\n", lines[0], lines[1]);
    let (keys, _) = AuthorizedKeys::parse(&text);
    let mut shown: Vec<_> = keys
        .iter()
        .map(|(key, grant)| (grant.name.clone().unwrap(), grant.expires, *key))
        .collect();
    shown.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("anna".into(), None, key(1).public()),
        ("bert".into(), Some(978_307_200), key(2).public()),
    ];
    assert!(!keys.is_empty() && keys.len() == 2 && shown == expected, "{shown:?}");
}

#[test]
fn what_is_wrong_with_a_line_is_said() {
    let line = key(1).public().to_openssh();
    for (options, why) in [
        ("ddes-role=\"king\"", "line 1: no role 'king'; there are client and operator"),
        ("from=\"10.0.0.1\"", "line 1: option 'from' is not known here, so the key is not taken"),
        ("expiry-time=\"soon\"", "line 1: expiry-time 'soon' is not YYYYMMDD[HHMM[SS]]Z (UTC)"),
        ("\"open", "line 1: no key on this line"),
    ] {
        let (_, errors) = AuthorizedKeys::parse(format!("{options} {line}"));
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [why]);
    }
}

/// `date -u -d 2030-06-15T12:34:56 +%s` and the like.
#[test]
fn a_key_expires_at_the_second_that_its_line_says() {
    let line = key(1).public().to_openssh();
    for (text, end) in [
        ("20300615123456Z", 1_907_757_296),
        ("203006151234Z", 1_907_757_240),
        ("20300615Z", 1_907_712_000),
        ("20280229Z", 1_835_395_200),
    ] {
        let (keys, errors) = AuthorizedKeys::parse(format!("expiry-time=\"{text}\" {line}"));
        assert_eq!((errors, keys.expiries().collect::<Vec<_>>()), (vec![], vec![end]), "{text}");
        let find = |now| keys.find(&key(1).public(), now).is_some();
        assert!(find(end - 1) && !find(end) && !find(end + 1), "{text}");
    }
    for text in [
        "20290229Z",
        "2030061512345Z",
        "20300615123456",
        "203006152400Z",
        "2030-6-15Z",
        "+2030615Z",
    ] {
        let (keys, errors) = AuthorizedKeys::parse(format!("expiry-time=\"{text}\" {line}"));
        assert_eq!((keys.len(), errors.len()), (0, 1), "{text}");
    }
}

#[test]
fn each_of_a_servers_keys_is_known_and_all_are_forgotten_together() {
    let mut servers = KnownServers::default();
    let at = |text: &str| text.parse::<ServerAddress>().unwrap();
    let (address, other) = (&at("counter.example:5566"), at("other.example:5566"));
    for seed in [1, 2, 2] {
        servers.add(address, key(seed).public());
    }
    servers.add(&other, key(3).public());
    for seed in [1, 2] {
        assert_eq!(servers.contact(address, &key(seed).public()), Contact::Known);
    }
    let known = vec![key(1).public(), key(2).public()];
    assert_eq!(servers.contact(address, &key(3).public()), Contact::Changed { known });
    assert_eq!((servers.remove(address), servers.remove(address)), (2, 0));
    assert_eq!(servers.contact(address, &key(1).public()), Contact::First);
    assert_eq!(servers.iter().collect::<Vec<_>>(), [(&other, &key(3).public())]);
}
