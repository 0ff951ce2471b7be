//! `ddes calc`: its examples, its forms of input and output, and Python that gives the same result.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{ddes_at, folder, output, root};

/// All calculations, as they stand behind `ddes calc`.
const ALL: [&str; 20] = [
    "dh",
    "hkdf",
    "hmac",
    "des",
    "ddes",
    "counter",
    "key-pair",
    "keys",
    "seal",
    "open",
    "rekey",
    "noise start",
    "noise mix-hash",
    "noise mix-key",
    "noise split",
    "ml-kem keygen",
    "ml-kem encapsulate",
    "ml-kem decapsulate",
    "ed25519",
    "sshsig",
];

/// A line for a shell that finds `ddes`, in the folder of the sources.
pub(crate) fn shell(line: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_ddes")).parent().unwrap();
    let mut path = std::ffi::OsString::from(programs);
    if let Some(python) = std::env::var_os("DDES_PEER_PYTHON") {
        // A virtual environment's `python3` is beside its `python`.
        path.push(":");
        path.push(Path::new(&python).parent().unwrap());
    } else {
        path.push(":");
        path.push(root().join(".venv/bin"));
    }
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("PATH", path).current_dir(root());
    command
}

fn calc(line: &str) -> (i32, String, String) {
    output(shell(&format!("ddes calc {line}")))
}

/// The examples of a help: a command in lines of two and four blanks, its output in lines of six.
fn examples(help: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        if let Some(command) = line.strip_prefix("  ddes calc ") {
            examples.push((format!("ddes calc {command}"), String::new()));
        } else if let (Some(output), Some((_, said))) =
            (line.strip_prefix("      ").filter(|_| !line.contains('\'')), examples.last_mut())
        {
            said.push_str(output);
        } else if let (Some(more), Some((command, said))) =
            (line.strip_prefix("    "), examples.last_mut())
            && said.is_empty()
        {
            command.push('\n');
            command.push_str(more);
        }
    }
    examples
}

#[test]
fn the_examples_of_the_help_are_the_answers_of_the_standards() {
    let mut tried = 0;
    for name in ALL {
        let words: Vec<&str> =
            ["calc"].into_iter().chain(name.split(' ')).chain(["--help"]).collect();
        let (code, help, _) = output(ddes_at(&folder(), &words));
        assert_eq!(code, 0, "{name}");
        for (command, says) in examples(&help) {
            let (code, out, error) = output(shell(&command));
            assert_eq!(code, 0, "{command}: {error}");
            if !says.is_empty() {
                tried += 1;
                assert_eq!(out.split_whitespace().collect::<String>(), says, "{command}");
            }
        }
    }
    assert!(tried >= 20, "{tried} examples only");
}

/// A line for each calculation.
fn lines() -> Vec<String> {
    let (k, seed) = ("07".repeat(32), "01".repeat(64));
    let (_, ek, _) = calc(&format!("ml-kem keygen -q --seed {seed}"));
    let (_, sealed, _) = calc(&format!("ml-kem encapsulate -q --ek {} --m {k}", ek.trim()));
    let ciphertext = sealed.lines().next().unwrap();
    let (key, ad, pt) = (
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "0000001e00000032",
        "00010203040506070809",
    );
    let seal = |function: &str| {
        format!("seal --function {function} --key {key} --n 77 --ad {ad} --in {pt}")
    };
    let opened = |function: &str| {
        let (_, sealed, _) = calc(&format!("{} -q", seal(function)));
        format!("open --function {function} --key {key} --n 77 --ad {ad} --in {}", sealed.trim())
    };
    vec![
        "dh --p 17 --g 05 --private 06".into(),
        "dh --p 17 --g 05 --private 06 --peer 13".into(),
        format!("dh --group ffdhe2048 --private {k}"),
        format!("dh --group ffdhe3072 --private {k} --peer {}", "5a".repeat(384)),
        format!("hkdf --ikm {k}"),
        format!("hkdf --ikm {k} --salt 00 --info 'text:handshake data' --length 16"),
        format!("hkdf --prk {k} --info '' --length 80"),
        format!("hmac --key {key} --in 'text:what do ya want for nothing?'"),
        "hmac --key '' --in ''".into(),
        "des --key 0123456789abcdef --in 4e6f772069732074 --rounds".into(),
        "des --key 0123456789abcdef --in 4e6f77 --pad".into(),
        "ddes --key1 52f22665a60c12d2 --key2 89185d950ee88136 --in 254c3ae44069a2a1 --decrypt --pad".into(),
        "ddes --key1 52f22665a60c12d2 --key2 89185d950ee88136 --in 254c3ae44069a2a1 --decrypt".into(),
        "counter --key1 52f22665a60c12d2 --key2 89185d950ee88136 --n 3 --length 19".into(),
        "key-pair --key1 0000000000000000 --key2 0101010101010101".into(),
        format!("keys --function ddes --key {key}"),
        format!("keys --function ddeschacha --key {key}"),
        seal("ddes"),
        seal("ddeschacha"),
        opened("ddes"),
        opened("ddeschacha"),
        format!("rekey --key {key}"),
        "noise start --name text:Noise_NN_FFDHE2048_DDES_SHA256 --prologue 442d444445532f320202".into(),
        "noise start --name text:Noise_NNhfs_FFDHE2048+MLKEM768_DDESChaCha_SHA256 --prologue 442d444445532f320201".into(),
        format!("noise mix-hash --h {key} --data ''"),
        format!("noise mix-key --ck {key} --in {k}"),
        format!("noise split --ck {key}"),
        format!("ml-kem keygen --seed {seed}"),
        format!("ml-kem encapsulate --ek {} --m {k}", ek.trim()),
        format!("ml-kem decapsulate --seed {seed} --ciphertext {ciphertext}"),
        "ed25519 --public 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c --message 72 --signature 92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00".into(),
        "sshsig --namespace ddes2-client --public ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c --message 'text:handshake and keys' --signature 5b65dda39bb6b895a1527601712fd50481e8402f4f78da6d3d7d6796a82fcb8d304ec7923426f2509338ecdbadebb64936298beb0a3bf7aaad41f135664c1001".into(),
    ]
}

#[test]
fn each_calculation_gives_the_same_result_in_python_and_by_its_own_line() {
    let lines = lines();
    for name in ALL {
        assert!(lines.iter().any(|line| line.starts_with(&format!("{name} "))), "{name}");
    }
    for line in lines {
        let (code, json, error) = calc(&format!("{line} --json"));
        assert_eq!(code, 0, "{line}: {error}");
        let said: Value = serde_json::from_str(&json).unwrap();
        let (_, quiet, _) = calc(&format!("{line} -q"));
        let (code, again, error) =
            output(shell(&format!("{} -q", said["command"].as_str().unwrap())));
        assert_eq!((code, &again), (0, &quiet), "{line}: {error}");
        let (code, python, error) = output(shell(said["python"].as_str().unwrap()));
        assert_eq!(code, 0, "{line}: {error}");
        // Of an encapsulation Python computes the secret alone, which is the last result.
        let expect = if line.starts_with("ml-kem encapsulate") {
            quiet.lines().last().unwrap()
        } else {
            quiet.trim_end()
        };
        assert_eq!(python.trim_end(), expect, "{line}: {}", said["python"]);
        let (_, shown, _) = calc(&format!("{line} --python"));
        assert_eq!(shown.trim_end(), said["python"], "{line}");
    }
}

#[test]
fn inputs_come_as_text_from_files_and_from_standard_input() {
    let home = folder();
    std::fs::write(home.join("key.hex"), "4a 65\n66:65\n").unwrap();
    std::fs::write(home.join("data"), "what do ya want for nothing?").unwrap();
    let expect = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\n";
    let (key, data) = (home.join("key.hex"), home.join("data"));
    let (key, data) = (format!("@{}", key.display()), format!("raw:{}", data.display()));
    for arguments in [
        ["--key", "text:Jefe", "--in", &data],
        ["--key", &key, "--in", "text:what do ya want for nothing?"],
        ["--key", "0x4a656665", "--in", &data],
    ] {
        let words: Vec<&str> = ["calc", "hmac", "-q"].into_iter().chain(arguments).collect();
        let (code, out, error) = output(ddes_at(&home, &words));
        assert_eq!((code, out.as_str()), (0, expect), "{arguments:?}: {error}");
    }
    let typed = |words: &[&str], input: &str| {
        let mut command = ddes_at(&home, words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let done = child.wait_with_output().unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
    };
    let typed_key = ["calc", "hmac", "-q", "--key", "-", "--in", &data];
    assert_eq!(typed(&typed_key, "4a656665\n"), (0, expect.to_owned()));
    let twice = ["calc", "hmac", "-q", "--key", "-", "--in", "-"];
    assert_eq!(typed(&twice, "4a656665\n").0, 2, "standard input is read once");
}

#[test]
fn what_is_wrong_with_an_input_is_said_and_a_false_proof_is_an_integrity_error() {
    let long = format!("des --key 0101010101010101 --in {} --rounds", "00".repeat(8 * 65));
    let (dk, ciphertext) = ("00".repeat(2400), "00".repeat(1088));
    let false_key = format!("ml-kem decapsulate --dk {dk} --ciphertext {ciphertext}");
    for (line, expected, says) in [
        ("hmac --key 5 --in 00", 2, "half a byte: write 05"),
        ("hmac --key 123 --in 00", 2, "a digit is missing"),
        ("hmac --key zz --in 00", 2, "no hexadecimal digit"),
        ("hmac --key @/nowhere/at/all --in 00", 2, "cannot read"),
        ("des --key 00 --in 00", 2, "key has 1 byte; it takes 8"),
        ("des --key 0001 --in 00", 2, "key has 2 bytes; it takes 8"),
        ("des --key 0101010101010101 --in 00", 2, "1 byte is no whole block"),
        ("des --key 0101010101010101 --in 00", 2, "--pad adds"),
        ("des --key 0101010101010101 --in 00 --decrypt --pad", 2, "--in with all of it"),
        ("des --key 0101010101010101 --in 0000000000000000 --decrypt --pad", 5, "padding"),
        ("dh --private 05", 2, "no group was given"),
        ("dh --p 16 --g 05 --private 05", 2, "no odd number"),
        ("dh --p 16 --g 05 --private 05", 2, "17 is 23"),
        ("dh --p 17 --g 05 --private 05 --peer 01", 2, "2..p-2"),
        ("dh --p 17 --g 05 --private 00", 2, "x is not in 1..p-2"),
        ("dh --p 17 --g 05 --private 17", 2, "x is not in 1..p-2"),
        ("dh --p 17 --g 05 --private 0b", 2, "1 or p-1"),
        (&long, 2, "give the first 512 bytes"),
        (&false_key, 2, "SHA3-256"),
        ("hkdf --length 5", 2, "--ikm"),
        ("ml-kem decapsulate --ciphertext 00", 2, "--seed"),
        ("rekey --key 00", 2, "it takes 32"),
        (
            "ed25519 --public 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c --message 73 --signature 92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            5,
            "not this key",
        ),
    ] {
        let (code, out, error) = calc(line);
        assert_eq!((code, out.as_str()), (expected, ""), "{line}: {error}");
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn the_key_of_a_captured_10_gives_group_and_value() {
    let pem = folder().join("key.pem");
    let key = "import sys; sys.path.insert(0, \"peer\"); from classic import crypto; \
               p = crypto.ffdhe2048().parameter_numbers(); \
               from cryptography.hazmat.primitives.asymmetric import dh; \
               n = dh.DHPublicNumbers(pow(2, 0x1234, p.p), p).public_key(); \
               from cryptography.hazmat.primitives.serialization import *; \
               sys.stdout.buffer.write(n.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))";
    let (code, text, error) = output(shell(&format!("python3 -W ignore -c '{key}'")));
    assert_eq!(code, 0, "{error}");
    std::fs::write(&pem, text).unwrap();
    let (code, shared, error) = calc(&format!("dh -q --pem raw:{} --private 05", pem.display()));
    assert_eq!(code, 0, "{error}");
    // (2^0x1234)^5 = 2^(5 · 0x1234).
    let (_, expect, _) = calc("dh -q --group ffdhe2048 --private 5b04");
    assert_eq!(shared, expect);
}
