//! Calculations against the known answers of vectors/: the standards', and those of other
//! implementations.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use ddes_cipher::Function;
use ddes_explain::{CalcError, Calculation, DhGroup, HkdfExpansion, KemKey, Value};
use ddes_ffdhe::NamedGroup;
use ddes_identity::Namespace;

type Case = BTreeMap<String, String>;

/// The cases of a file under `vectors`: `name: value` lines, cases apart by blank lines.
fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let fields = |case: &str| -> Case {
        let lines = case.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.trim().into(), value.trim().into())).collect()
    };
    let cases: Vec<Case> = text.split("\n\n").map(fields).filter(|case| !case.is_empty()).collect();
    assert!(cases.len() >= 3, "{file} has {} cases only", cases.len());
    cases
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// All results, one after the other.
fn result(calculation: &Calculation) -> String {
    let worked = calculation.work().unwrap_or_else(|error| panic!("{calculation:?}: {error}"));
    worked.results.iter().map(|result| result.value.plain()).collect()
}

fn step(calculation: &Calculation, name: &str) -> Vec<u8> {
    let worked = calculation.work().unwrap();
    let step = worked.steps.iter().find(|step| step.name == name);
    let step = step.unwrap_or_else(|| panic!("no step {name} in {:?}", worked.steps));
    step.chain[0].value.bytes().unwrap().to_vec()
}

#[test]
fn des_gives_the_answers_of_nist_and_nessie() {
    for file in ["vartext", "varkey", "permop", "subtab", "invperm", "nessie"] {
        for case in cases(&format!("des/{file}.txt")) {
            let des = |input: &str, decrypt| Calculation::Des {
                key: bytes(&case["key"]),
                input: bytes(input),
                decrypt,
                pad: false,
                rounds: true,
            };
            assert_eq!(result(&des(&case["pt"], false)), case["expect"], "{file} {}", case["name"]);
            assert_eq!(result(&des(&case["expect"], true)), case["pt"], "{file} {}", case["name"]);
            // The rounds give the result of the engine.
            assert_eq!(
                step(&des(&case["pt"], false), "inverse of IP"),
                bytes(&case["expect"]),
                "{file} {}",
                case["name"]
            );
        }
    }
}

/// The example that J. Orlin Grabbe works out by hand in "The DES Algorithm Illustrated".
#[test]
fn the_steps_of_des_are_those_of_an_example_worked_out_by_hand() {
    let des = Calculation::Des {
        key: bytes("133457799bbcdff1"),
        input: bytes("0123456789abcdef"),
        decrypt: false,
        pad: false,
        rounds: true,
    };
    let worked = des.work().unwrap();
    let chain = |name: &str| -> Vec<(String, String)> {
        let step = worked.steps.iter().find(|step| step.name == name);
        let step = step.unwrap_or_else(|| panic!("no step {name} in {:?}", worked.steps));
        step.chain.iter().map(|named| (named.name.to_string(), named.value.plain())).collect()
    };
    let of = |values: &[(&str, &str)]| -> Vec<(String, String)> {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(chain("IP"), of(&[("L", "cc00ccff"), ("R", "f0aaf0aa")]));
    let (k, f, l, r) = ("1b02effc7072", "234aa9bb", "f0aaf0aa", "ef4a6544");
    assert_eq!(chain("round 1"), of(&[("K", k), ("f", f), ("L", l), ("R", r)]));
    assert_eq!(chain("round 16")[2..], of(&[("L", "43423234"), ("R", "0a4cd995")]));
    assert_eq!(chain("halves change places"), of(&[("R", "0a4cd995"), ("L", "43423234")]));
    assert_eq!(chain("inverse of IP"), of(&[("", "85e813540f0ab405")]));
    assert_eq!(result(&des), "85e813540f0ab405");
    assert!(
        des.formula().contains("then R ‖ L, the halves in each other's place, then the inverse")
    );
}

#[test]
fn the_rounds_of_few_blocks_are_shown_and_those_of_many_refused() {
    let des = |blocks: usize, rounds| Calculation::Des {
        key: vec![1; 8],
        input: vec![0; 8 * blocks],
        decrypt: false,
        pad: false,
        rounds,
    };
    assert_eq!(des(64, true).work().unwrap().steps.len(), 64 * 20);
    assert_eq!(des(65, true).work(), Err(CalcError::Rounds { blocks: 65, most: 64 }));
    assert_eq!(des(65, false).work().unwrap().steps.len(), 65);
}

#[test]
fn double_des_gives_the_answers_of_pycryptodome() {
    for case in cases("des/double-ecb.txt") {
        let ddes = |input: &str, decrypt| Calculation::Ddes {
            key1: bytes(&case["key1"]),
            key2: bytes(&case["key2"]),
            input: bytes(input),
            decrypt,
            pad: true,
        };
        assert_eq!(result(&ddes(&case["pt"], false)), case["expect"]);
        assert_eq!(result(&ddes(&case["expect"], true)), case["pt"]);
    }
}

#[test]
fn hkdf_and_hmac_give_the_answers_of_their_rfcs() {
    for case in cases("kdf/hkdf-sha256.txt") {
        let expand = HkdfExpansion { info: bytes(&case["info"]), length: case["expect"].len() / 2 };
        let (salt, ikm) = (Some(bytes(&case["salt"])), bytes(&case["ikm"]));
        let whole = Calculation::Hkdf {
            salt: salt.clone(),
            ikm: ikm.clone(),
            expand: Some(expand.clone()),
        };
        assert_eq!(result(&whole), case["expect"], "{}", case["name"]);
        assert_eq!(result(&Calculation::Hkdf { salt, ikm, expand: None }), case["prk"]);
        let prk = bytes(&case["prk"]);
        assert_eq!(result(&Calculation::HkdfExpand { prk, expand }), case["expect"]);
    }
    for case in cases("kdf/hmac-sha256.txt") {
        let hmac = Calculation::Hmac { key: bytes(&case["key"]), input: bytes(&case["data"]) };
        // Case 4.6 is cut to 16 bytes.
        assert!(result(&hmac).starts_with(&case["expect"]), "{}", case["name"]);
    }
}

#[test]
fn records_give_the_answers_of_two_other_implementations_and_so_do_the_steps() {
    for case in cases("ddes2/cipher-functions.txt") {
        let key = bytes(&case["k"]);
        let function = match case["name"].as_str() {
            "DDES" => Function::Ddes,
            "DDESChaCha" => Function::DdesChaCha,
            _ => {
                assert_eq!(result(&Calculation::Rekey { key }), case["expect"]);
                continue;
            }
        };
        let (n, ad, input) = (case["n"].parse().unwrap(), bytes(&case["ad"]), bytes(&case["pt"]));
        let seal = Calculation::Seal { function, key: key.clone(), n, ad: ad.clone(), input };
        assert_eq!(result(&seal), case["expect"]);
        let mut joined = step(&seal, "ct");
        joined.extend(step(&seal, "tag"));
        assert_eq!(joined, bytes(&case["expect"]), "the steps are not the result");
        let sealed = bytes(&case["expect"]);
        let open = Calculation::Open { function, key, n, ad, input: sealed.clone() };
        assert_eq!(result(&open), case["pt"]);
        assert_eq!(step(&open, "tag"), sealed[sealed.len() - 16..]);
    }
}

#[test]
fn the_longest_and_shortest_texts_are_sealed_as_by_openssl() {
    for case in cases("ddes2/long-texts.txt").iter().filter(|case| case.contains_key("pt")) {
        let function =
            if case["name"].contains("ChaCha") { Function::DdesChaCha } else { Function::Ddes };
        let seal = Calculation::Seal {
            function,
            key: bytes(&case["k"]),
            n: case["n"].parse().unwrap(),
            ad: bytes(&case["ad"]),
            input: bytes(&case["pt"]),
        };
        assert_eq!(result(&seal), case["expect"], "{}", case["name"]);
    }
}

#[test]
fn weak_and_equal_keys_are_changed_as_the_rule_says() {
    for case in cases("ddes2/key-pairs.txt") {
        let pair = Calculation::KeyPair { key1: bytes(&case["key1"]), key2: bytes(&case["key2"]) };
        assert_eq!(result(&pair), case["expect"], "{}", case["name"]);
    }
}

#[test]
fn ml_kem_gives_the_answers_of_wycheproof() {
    for case in cases("kem/ml-kem-768.txt") {
        let (seed, ciphertext) = (bytes(&case["seed"]), bytes(&case["c"]));
        let generate = Calculation::KemGenerate { seed: seed.clone() };
        assert_eq!(result(&generate), case["ek"], "{}", case["name"]);
        let decapsulate =
            |key| result(&Calculation::KemDecapsulate { key, ciphertext: ciphertext.clone() });
        assert_eq!(decapsulate(KemKey::Seed(seed)), case["expect"], "{}", case["name"]);
        if let (Some(dk), Some(m)) = (case.get("dk"), case.get("m")) {
            assert_eq!(step(&generate, "dk"), bytes(dk));
            assert_eq!(decapsulate(KemKey::Whole(bytes(dk))), case["expect"]);
            // FIPS 203, 7.3: the first and last byte of ek and of H(ek). dk_PKE and z are under no
            // hash: another of them gives another secret.
            let changed = |at: usize| {
                let mut dk = bytes(dk);
                dk[at] ^= 1;
                let (key, ciphertext) = (KemKey::Whole(dk), ciphertext.clone());
                Calculation::KemDecapsulate { key, ciphertext }.work()
            };
            for at in [1152, 2335, 2336, 2367] {
                assert_eq!(changed(at), Err(CalcError::KemHash), "byte {at}");
            }
            assert!(changed(0).is_ok() && changed(2368).is_ok());
            let encapsulate = Calculation::KemEncapsulate { ek: bytes(&case["ek"]), m: bytes(m) };
            assert_eq!(result(&encapsulate), format!("{}{}", case["c"], case["expect"]));
        }
    }
}

#[test]
fn signatures_are_taken_and_refused_as_the_vectors_say() {
    for case in cases("ddes2/signatures.txt") {
        let namespace = match case["namespace"].as_str() {
            "ddes2-server" => Namespace::Server,
            "ddes2-client" => Namespace::Client,
            _ => Namespace::Receipt,
        };
        let verify = Calculation::SshSig {
            namespace,
            public: bytes(&case["key"]),
            message: bytes(&case["message"]),
            signature: bytes(&case["signature"]),
        };
        match case["expect"].as_str() {
            "good" => assert_eq!(result(&verify), "good", "{}", case["name"]),
            _ => assert!(verify.work().is_err(), "{}", case["name"]),
        }
    }
}

/// Both sides of a recorded handshake agree, and its hash follows from the steps.
#[test]
fn the_steps_of_noise_lead_to_the_hash_of_the_recorded_handshakes() {
    for case in cases("ddes2/handshakes.txt").iter().filter(|case| case["name"].starts_with("ddes"))
    {
        let (group, bits) = match case["suite"].as_str() {
            "02" => (NamedGroup::Ffdhe2048, "2048"),
            "12" => (NamedGroup::Ffdhe3072, "3072"),
            _ => (NamedGroup::Ffdhe4096, "4096"),
        };
        let dh = |private: &str, peer: Option<&str>| {
            result(&Calculation::Dh {
                group: DhGroup::Named(group),
                private: bytes(private),
                peer: peer.map(bytes),
            })
        };
        let client = dh(&case["client_x"], None);
        let server = dh(&case["server_x"], None);
        let shared = dh(&case["client_x"], Some(&server));
        assert_eq!(shared, dh(&case["server_x"], Some(&client)));
        let frames: Vec<_> = case["expect"].split(' ').map(bytes).collect();
        assert_eq!(frames[0][10..], bytes(&client), "message 1 has the client's value");
        let start = Calculation::NoiseStart {
            name: format!("Noise_NN_FFDHE{bits}_DDES_SHA256").into_bytes(),
            prologue: [&b"D-DDES/2\x02"[..], &bytes(&case["suite"])].concat(),
        };
        let (ck, h) = two(&start);
        let mix_hash =
            |h: Vec<u8>, data: Vec<u8>| bytes(&result(&Calculation::MixHash { h, data }));
        let h = mix_hash(mix_hash(h, bytes(&client)), Vec::new());
        let h = mix_hash(h, bytes(&server));
        let (ck, k) = two(&Calculation::MixKey { ck, input: bytes(&shared) });
        let tag = frames[1][frames[1].len() - 16..].to_vec();
        let open = Calculation::Open {
            function: Function::Ddes,
            key: k,
            n: 0,
            ad: h.clone(),
            input: tag.clone(),
        };
        assert_eq!(result(&open), "", "the empty payload");
        assert_eq!(mix_hash(h, tag), bytes(&case["h"]), "{}", case["name"]);
        let (_, to_client) = two(&Calculation::NoiseSplit { ck });
        let open = Calculation::Open {
            function: Function::Ddes,
            key: to_client,
            n: 0,
            ad: frames[2][..8].to_vec(),
            input: frames[2][8..].to_vec(),
        };
        assert_eq!(result(&open).len(), 2 * 96, "message 3 opens");
    }
}

fn two(calculation: &Calculation) -> (Vec<u8>, Vec<u8>) {
    let worked = calculation.work().unwrap();
    let [one, two] = &worked.results[..] else { panic!("{worked:?}") };
    (one.value.bytes().unwrap().to_vec(), two.value.bytes().unwrap().to_vec())
}

#[test]
fn a_blackboard_s_group_works_and_degenerate_values_are_refused() {
    let dh = |p: u8, g: u8, x: &[u8], peer: Option<u8>| {
        let (p, g) = (vec![p], vec![g]);
        let peer = peer.map(|peer| vec![peer]);
        let calculation =
            Calculation::Dh { group: DhGroup::Given { p, g }, private: x.to_vec(), peer };
        calculation.work().map(|worked| worked.results[0].value.plain())
    };
    assert_eq!(dh(23, 5, &[6], None).unwrap(), "08");
    assert_eq!(dh(23, 5, &[6], Some(19)).unwrap(), "02");
    assert_eq!(dh(23, 5, &[0, 15], Some(8)).unwrap(), "02");
    for peer in [0, 1, 22, 23, 200] {
        assert!(matches!(dh(23, 5, &[6], Some(peer)), Err(CalcError::Range { .. })), "{peer}");
    }
    for (p, g) in [(22, 5), (0, 0), (1, 1), (3, 2)] {
        assert!(dh(p, g, &[6], None).is_err(), "{p} {g}");
    }
    // 0 and p-1 give 1 for each g; beyond that everything repeats.
    for x in [&[0][..], &[0, 0], &[22], &[23], &[200], &[1, 6]] {
        assert_eq!(dh(23, 5, x, None), Err(CalcError::Exponent), "{x:?}");
        assert_eq!(dh(23, 5, x, Some(19)), Err(CalcError::Exponent), "{x:?}");
    }
    assert_eq!(dh(23, 5, &[1], None).unwrap(), "05");
    assert_eq!(dh(23, 5, &[21], None).unwrap(), "0e", "5 · 14 = 70 = 1 mod 23");
    // 5 has order 22, 2 has order 11.
    assert_eq!(dh(23, 5, &[11], None), Err(CalcError::Public));
    assert_eq!(dh(23, 2, &[11], None), Err(CalcError::Public));
    // 3 has order 11 mod 23.
    assert_eq!(dh(23, 5, &[11], Some(3)), Err(CalcError::Degenerate));
    assert!(matches!(dh(23, 5, &[], None), Err(CalcError::Length { .. })));
}

#[test]
fn what_does_not_fit_is_said_and_nothing_is_computed() {
    let des = |input: &[u8], decrypt, pad| Calculation::Des {
        key: vec![1; 8],
        input: input.to_vec(),
        decrypt,
        pad,
        rounds: false,
    };
    assert_eq!(des(&[0; 7], false, false).work(), Err(CalcError::Blocks { length: 7 }));
    assert_eq!(des(&[0; 8], true, true).work(), Err(CalcError::Padding));
    assert_eq!(des(&[], true, true).work(), Err(CalcError::Padding));
    assert!(des(&[], false, false).work().unwrap().results[0].value.plain().is_empty());
    let short = Calculation::Rekey { key: vec![0; 31] };
    assert!(matches!(short.work(), Err(CalcError::Length { name: "key", length: 31, .. })));
    let too_much = Calculation::HkdfExpand {
        prk: vec![0; 32],
        expand: HkdfExpansion { info: Vec::new(), length: 8161 },
    };
    assert!(matches!(too_much.work(), Err(CalcError::Length { .. })));
    let most = Calculation::HkdfExpand {
        prk: vec![0; 32],
        expand: HkdfExpansion { info: Vec::new(), length: 8160 },
    };
    assert_eq!(most.work().unwrap().steps.len(), 255);
    let forged = Calculation::Open {
        function: Function::Ddes,
        key: vec![0; 32],
        n: 0,
        ad: Vec::new(),
        input: vec![0; 16],
    };
    assert_eq!(forged.work(), Err(CalcError::Tag));
    let late = Calculation::Counter { key1: vec![0; 8], key2: vec![1; 8], n: 1 << 48, length: 8 };
    assert!(matches!(late.work(), Err(CalcError::Limit(_))));
}

#[test]
fn a_shell_gets_each_input_back() {
    let calculation = Calculation::NoiseStart { name: b"a 'name'".to_vec(), prologue: Vec::new() };
    assert_eq!(
        calculation.command(),
        "ddes calc noise start --name 6120276e616d6527 --prologue ''"
    );
    let calculation = Calculation::Hkdf {
        salt: None,
        ikm: vec![0xab],
        expand: Some(HkdfExpansion { info: b"handshake data".to_vec(), length: 16 }),
    };
    assert_eq!(
        calculation.command(),
        "ddes calc hkdf --ikm ab --info 'text:handshake data' --length 16"
    );
    assert_eq!(Value::Word("good").plain(), "good");
}
