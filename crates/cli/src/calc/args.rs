//! The command line of `ddes calc`. Its examples are vectors of the standards; a test runs them.

use clap::{Args, Subcommand, ValueEnum};
use ddes_cipher::Function;
use ddes_identity::Namespace;

use super::given::Given;
use crate::args::{GroupName, OutputArgs};

/// The calculations of both wires.
#[derive(Debug, Subcommand)]
pub(crate) enum CalcCommand {
    /// Diffie-Hellman: a public value, or with --peer the shared one
    #[command(after_help = "\
Examples (-q prints the result alone):
  ddes calc dh -q --p 17 --g 05 --private 06
      08
  ddes calc dh -q --p 17 --g 05 --private 06 --peer 13
      02
  ddes calc dh -q --p 17 --g 05 --private 0f --peer 08
      02

Numbers are hexadecimal: p is 23, and the first is 5^6 mod 23 = 8. --group ffdhe2048 takes RFC \
7919's numbers, --pem raw:FILE those of the
body of a classic opcode 10, whose value is then the peer's.")]
    Dh(DhArgs),
    /// HKDF-SHA256: extract (--ikm), expand (--prk), or both (--ikm and --length)
    #[command(after_help = "\
Examples, of RFC 5869, A.1 and A.3:
  ddes calc hkdf -q --ikm 0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b \\
    --salt 000102030405060708090a0b0c
      077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5
  ddes calc hkdf -q --prk 077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5 \\
    --info f0f1f2f3f4f5f6f7f8f9 --length 42
      3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865
  ddes calc hkdf -q --ikm 0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b --salt '' --length 42
      8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")]
    Hkdf(HkdfArgs),
    /// HMAC-SHA256
    #[command(after_help = "\
Examples, of RFC 4231, 4.3 and 4.4:
  ddes calc hmac -q --key text:Jefe --in 'text:what do ya want for nothing?'
      5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843
  ddes calc hmac -q --key aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \\
    --in 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
      dddddddddddddddddddddddddddddddddddd'
      773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe")]
    Hmac {
        /// The key, of any length
        #[arg(long, value_name = "BYTES")]
        key: Given,
        /// The message
        #[arg(long = "in", value_name = "BYTES")]
        input: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// DES in ECB, block by block; with --rounds every round
    #[command(after_help = "\
Examples, of FIPS 81, B.1, and NIST SP 800-17, tables A.1 and A.4:
  ddes calc des -q --key 0123456789abcdef \\
    --in 4e6f77206973207468652074696d6520666f7220616c6c20
      3fa40e8a984d48156a271787ab8883f9893d51ec4b563b53
  ddes calc des -q --key 0101010101010101 --in 8000000000000000
      95f8a5e5dd31d900
  ddes calc des -q --key 0101010101010101 --in 95f8a5e5dd31d900 --decrypt
      8000000000000000
  ddes calc des -q --key 7ca110454a1a6e57 --in 01a1d6d039776742
      690f5b0d9a26939b")]
    Des {
        /// 8 bytes; DES ignores the lowest bit of each
        #[arg(long, value_name = "BYTES")]
        key: Given,
        #[command(flatten)]
        ecb: EcbArgs,
        /// Show IP and the sixteen rounds of each block, of at most 64 blocks
        #[arg(long)]
        rounds: bool,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// Double DES in ECB, as in the classic profile; --key1 twice opens its opcode 20
    #[command(after_help = "\
Examples, by pycryptodome (vectors/des/double-ecb.txt):
  ddes calc ddes -q --key1 52f22665a60c12d2 --key2 89185d950ee88136 --in '' --pad
      254c3ae44069a2a1
  ddes calc ddes -q --key1 09166f6b113d178d --key2 6c0fd3901ff239a1 --in a0 --pad
      2df4e322f6f4c8c9
  ddes calc ddes -q --key1 09166f6b113d178d --key2 6c0fd3901ff239a1 --in 2df4e322f6f4c8c9 \\
    --pad --decrypt
      a0")]
    Ddes {
        #[command(flatten)]
        keys: KeyArgs,
        #[command(flatten)]
        ecb: EcbArgs,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// Double DES in counter mode: the keystream of a record of D-DDES/2
    #[command(after_help = "\
Example: the passes over block(0) = n << 16 of record 1, of which each is a DES:
  ddes calc counter -q --key1 0123456789abcdef --key2 fedcba9876543210 --n 1 --length 8
      032ce65882ce2e15
  ddes calc ddes -q --key1 0123456789abcdef --key2 fedcba9876543210 --in 0000000000010000
      032ce65882ce2e15")]
    Counter {
        #[command(flatten)]
        keys: KeyArgs,
        /// The record's number, below 2^48
        #[arg(long, value_name = "N")]
        n: u64,
        /// Bytes of keystream, at most 65,520
        #[arg(long, value_name = "BYTES")]
        length: usize,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// Parity, weak keys and equal keys: Key1 and Key2 of D-DDES/2 from 16 bytes
    #[command(
        name = "key-pair",
        after_help = "\
Example: a weak key (FIPS 74) and the same again (vectors/ddes2/key-pairs.txt has all):
  ddes calc key-pair --key1 0000000000000000 --key2 0000000000000000"
    )]
    KeyPair {
        #[command(flatten)]
        keys: KeyArgs,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// The keys that DDES or DDESChaCha makes of the 32 bytes of Split or REKEY
    #[command(after_help = "\
Example:
  ddes calc keys --function ddeschacha \\
    --key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")]
    Keys {
        /// The cipher function: of the suites ddes, or of the hybrid ones
        #[arg(long, value_enum)]
        function: FunctionName,
        /// 32 bytes
        #[arg(long, value_name = "BYTES")]
        key: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// Seal a record of D-DDES/2: ciphertext and tag
    #[command(after_help = "\
Examples (vectors/ddes2/cipher-functions.txt):
  ddes calc seal -q --function ddes \\
    --key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f --n 1 \\
    --ad 0000001e00000032 \\
    --in 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021
      bba7ea2d3a8eb9b1af7d0da5a853967a12fe682026ec2f5ff61f86b2aad9ecb01b9c9d0681726d90e3198b8f
      35a80d64368c
  ddes calc seal -q --function ddeschacha \\
    --key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f --n 1 \\
    --ad 0000001e00000032 \\
    --in 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021
      13dcae27d747e37d742ecb8089a079e3f2416e19065788be9ba6cb919ef7109e6be7da7b935440df24c15d66
      0de5d0c8fada")]
    Seal(RecordArgs),
    /// Open a record of D-DDES/2: the tag first, then the plaintext
    #[command(after_help = "\
Example; a wrong tag is exit code 5:
  ddes calc open -q --function ddes \\
    --key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f --n 1 \\
    --ad 0000001e00000032 \\
    --in 'bba7ea2d3a8eb9b1af7d0da5a853967a12fe682026ec2f5ff61f86b2aad9ecb0
      1b9c9d0681726d90e3198b8f35a80d64368c'
      000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021")]
    Open(RecordArgs),
    /// The next key of a direction, after 2^20 blocks
    #[command(after_help = "\
Example (vectors/ddes2/cipher-functions.txt):
  ddes calc rekey -q --key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
      27edd2627b3c6d1efe171afd2ed5f98bd6cc58e4dcd1418dd25c011294aa9b00")]
    Rekey {
        /// 32 bytes
        #[arg(long, value_name = "BYTES")]
        key: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// The steps of the Noise handshake
    #[command(subcommand)]
    Noise(NoiseCommand),
    /// ML-KEM-768 with its randomness given
    #[command(name = "ml-kem", subcommand)]
    MlKem(KemCommand),
    /// Verify an Ed25519 signature, strictly
    #[command(after_help = "\
Example, of RFC 8032, 7.1, test 2; a signature that is not good is exit code 5:
  ddes calc ed25519 -q \\
    --public 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c --message 72 \\
    --signature '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
      085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00'
      good")]
    Ed25519 {
        #[command(flatten)]
        signed: SignedArgs,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// Verify the signature of a message 3 or 4, or of a receipt
    #[command(after_help = "\
Example (vectors/ddes2/signatures.txt):
  ddes calc sshsig -q --namespace ddes2-client \\
    --public ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c \\
    --message 'text:handshake and keys' \\
    --signature '5b65dda39bb6b895a1527601712fd50481e8402f4f78da6d3d7d6796a82fcb8d
      304ec7923426f2509338ecdbadebb64936298beb0a3bf7aaad41f135664c1001'
      good")]
    Sshsig {
        /// What the signature is for
        #[arg(long, value_enum)]
        namespace: NamespaceName,
        #[command(flatten)]
        signed: SignedArgs,
        #[command(flatten)]
        output: CalcOutput,
    },
}

#[derive(Args, Debug)]
pub(crate) struct DhArgs {
    /// A group of RFC 7919
    #[arg(long, value_enum, conflicts_with_all = ["p", "g", "pem"])]
    pub(crate) group: Option<GroupName>,
    /// The modulus, odd, in hexadecimal: 17 is 23
    #[arg(long, value_name = "BYTES", requires = "g", conflicts_with = "pem")]
    pub(crate) p: Option<Given>,
    /// The generator, in hexadecimal
    #[arg(long, value_name = "BYTES", requires = "p")]
    pub(crate) g: Option<Given>,
    /// A public key as PEM text, usually raw:FILE: its group and value
    #[arg(long, value_name = "BYTES")]
    pub(crate) pem: Option<Given>,
    /// The private exponent, in hexadecimal: from 1 to p - 2
    #[arg(long, value_name = "BYTES")]
    pub(crate) private: Given,
    /// The peer's public value, in hexadecimal: the result is the shared one
    #[arg(long, value_name = "BYTES")]
    pub(crate) peer: Option<Given>,
    #[command(flatten)]
    pub(crate) output: CalcOutput,
}

#[derive(Args, Debug)]
pub(crate) struct HkdfArgs {
    /// Input keying material, for HKDF-Extract
    #[arg(long, value_name = "BYTES", conflicts_with = "prk")]
    pub(crate) ikm: Option<Given>,
    /// Salt [default: 32 zero bytes]
    #[arg(long, value_name = "BYTES", requires = "ikm")]
    pub(crate) salt: Option<Given>,
    /// A pseudorandom key, for HKDF-Expand alone
    #[arg(long, value_name = "BYTES")]
    pub(crate) prk: Option<Given>,
    /// What the output is for [default: empty]
    #[arg(long, value_name = "BYTES", requires = "length")]
    pub(crate) info: Option<Given>,
    /// Bytes of output of HKDF-Expand, at most 8160
    #[arg(long, value_name = "BYTES")]
    pub(crate) length: Option<usize>,
    #[command(flatten)]
    pub(crate) output: CalcOutput,
}

#[derive(Args, Debug)]
pub(crate) struct KeyArgs {
    /// Key of the inner pass, 8 bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) key1: Given,
    /// Key of the outer pass, 8 bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) key2: Given,
}

#[derive(Args, Debug)]
pub(crate) struct EcbArgs {
    /// The text: whole blocks of 8 bytes, unless --pad adds to them
    #[arg(long = "in", value_name = "BYTES")]
    pub(crate) input: Given,
    /// Decrypt
    #[arg(long)]
    pub(crate) decrypt: bool,
    /// Add PKCS#7 padding; with --decrypt check it and take it off
    #[arg(long)]
    pub(crate) pad: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    /// The cipher function: of the suites ddes, or of the hybrid ones
    #[arg(long, value_enum)]
    pub(crate) function: FunctionName,
    /// 32 bytes: of Split, or of REKEY
    #[arg(long, value_name = "BYTES")]
    pub(crate) key: Given,
    /// The record's number in its direction, from 0 on
    #[arg(long, value_name = "N")]
    pub(crate) n: u64,
    /// Associated data: the 8 bytes of the frame's header; in a handshake h
    #[arg(long, value_name = "BYTES")]
    pub(crate) ad: Given,
    /// The plaintext; to open, ciphertext and tag
    #[arg(long = "in", value_name = "BYTES")]
    pub(crate) input: Given,
    #[command(flatten)]
    pub(crate) output: CalcOutput,
}

#[derive(Args, Debug)]
pub(crate) struct SignedArgs {
    /// The public key, 32 bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) public: Given,
    /// What is signed
    #[arg(long, value_name = "BYTES")]
    pub(crate) message: Given,
    /// The signature, 64 bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) signature: Given,
}

/// The operations of Noise's symmetric state.
#[derive(Debug, Subcommand)]
pub(crate) enum NoiseCommand {
    /// InitializeSymmetric and MixHash(prologue): ck and h
    #[command(after_help = "\
Example:
  ddes calc noise start --name text:Noise_NN_FFDHE2048_DDES_SHA256 \\
    --prologue 442d444445532f320202")]
    Start {
        /// The protocol's Noise name
        #[arg(long, value_name = "BYTES")]
        name: Given,
        /// The prologue: `D-DDES/2`, version, suite id
        #[arg(long, value_name = "BYTES")]
        prologue: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// h = SHA-256(h || data)
    #[command(after_help = "\
Example (as `sha256sum` of 32 zero bytes and abc):
  ddes calc noise mix-hash -q --data text:abc \\
    --h 0000000000000000000000000000000000000000000000000000000000000000
      365aa7d8f7f9402c4b9434502b4cc89ddb09fe50d7cd95b493b834c62d5a5370")]
    MixHash {
        /// The handshake hash so far, 32 bytes
        #[arg(long, value_name = "BYTES")]
        h: Given,
        /// What is mixed in
        #[arg(long, value_name = "BYTES")]
        data: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// ck, k = HKDF(ck, input, 2)
    #[command(after_help = "\
Example (ck, then k):
  ddes calc noise mix-key -q --in text:abc \\
    --ck 0000000000000000000000000000000000000000000000000000000000000000
      4af82925ee74ef036c1ff38ef311f5d553a2f8f6b07f3e320f70e3adaa757521
      8238df5f4623becd1e100bb3e2256662d5f3d96518d33dc368469632270ee893")]
    MixKey {
        /// The chaining key so far, 32 bytes
        #[arg(long, value_name = "BYTES")]
        ck: Given,
        /// A shared secret: of Diffie-Hellman or of ML-KEM
        #[arg(long = "in", value_name = "BYTES")]
        input: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// The keys of the two directions: HKDF(ck, nothing, 2)
    #[command(after_help = "\
Example (the client's key, then the server's):
  ddes calc noise split -q \\
    --ck 0000000000000000000000000000000000000000000000000000000000000000
      eb70f01dede9afafa449eee1b1286504e1f62388b3f7dd4f956697b0e828fe18
      1e59c2ec0fe6e7e7ac2613b6ab65342a83379969da234240cded3777914db907")]
    Split {
        /// The last chaining key, 32 bytes
        #[arg(long, value_name = "BYTES")]
        ck: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
}

/// The algorithms of FIPS 203.
#[derive(Debug, Subcommand)]
pub(crate) enum KemCommand {
    /// A key pair from d || z: ek is the result, dk a step
    #[command(after_help = "\
Example (vectors/kem/ml-kem-768.txt, of Wycheproof; the first 32 bytes of ek):
  ddes calc ml-kem keygen -q \\
    --seed '7c9935a0b07694aa0c6d10e4db6b1add2fd81a25ccb148032dcd739936737f2d
      8626ed79d451140800e03b59b956f8210e556067407d13dc90fa9e8b872bfb8f' | head -c 64
      a8e651a1e685f22478a8954f007bc7711b930772c78f092e82878e3e937f3679")]
    Keygen {
        /// d || z, 64 bytes
        #[arg(long, value_name = "BYTES")]
        seed: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// Ciphertext and secret for a key
    #[command(after_help = "\
Example (vectors/kem/ml-kem-768.txt, of Wycheproof; the secret alone):
  ddes calc ml-kem encapsulate -q \\
    --m 147c03f7a5bebba406c8fae1874d7f13c80efe79a3a9a874cc09fe76f6997615 \\
    --ek $(ddes calc ml-kem keygen -q \\
    --seed '7c9935a0b07694aa0c6d10e4db6b1add2fd81a25ccb148032dcd739936737f2d
      8626ed79d451140800e03b59b956f8210e556067407d13dc90fa9e8b872bfb8f') | tail -n 1
      e7184a0975ee3470878d2d159ec83129c8aec253d4ee17b4810311d198cd0368")]
    Encapsulate {
        /// The encapsulation key, 1184 bytes
        #[arg(long, value_name = "BYTES")]
        ek: Given,
        /// The randomness, 32 bytes
        #[arg(long, value_name = "BYTES")]
        m: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
    /// The secret in a ciphertext
    #[command(after_help = "\
Example: zeros are no ciphertext of this key. FIPS 203 gives them a secret all the same, which
nobody else knows: SHAKE256(z || ciphertext).
  ddes calc ml-kem decapsulate -q \\
    --seed '7c9935a0b07694aa0c6d10e4db6b1add2fd81a25ccb148032dcd739936737f2d
      8626ed79d451140800e03b59b956f8210e556067407d13dc90fa9e8b872bfb8f' \\
    --ciphertext $(head -c 1088 /dev/zero | od -An -v -tx1 | tr -d ' \\n')
      c5f71f0f8573ee4dd87963c57e16dbf69498afcd898270ebfcf27ea69f45e96e")]
    Decapsulate {
        /// d || z, 64 bytes
        #[arg(long, value_name = "BYTES", conflicts_with = "dk")]
        seed: Option<Given>,
        /// The whole decapsulation key instead, 2400 bytes
        #[arg(long, value_name = "BYTES")]
        dk: Option<Given>,
        /// The ciphertext, 1088 bytes
        #[arg(long, value_name = "BYTES")]
        ciphertext: Given,
        #[command(flatten)]
        output: CalcOutput,
    },
}

/// How it is shown.
#[derive(Args, Clone, Debug)]
pub(crate) struct CalcOutput {
    /// Print a line of Python that gives the same result; `PYTHONPATH=peer` means the peer of the
    /// sources
    #[arg(long, conflicts_with_all = ["json", "quiet"])]
    pub(crate) python: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FunctionName {
    Ddes,
    Ddeschacha,
}

impl From<FunctionName> for Function {
    fn from(name: FunctionName) -> Self {
        match name {
            FunctionName::Ddes => Self::Ddes,
            FunctionName::Ddeschacha => Self::DdesChaCha,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NamespaceName {
    #[value(name = "ddes2-server")]
    Server,
    #[value(name = "ddes2-client")]
    Client,
    #[value(name = "ddes2-receipt")]
    Receipt,
}

impl From<NamespaceName> for Namespace {
    fn from(name: NamespaceName) -> Self {
        match name {
            NamespaceName::Server => Self::Server,
            NamespaceName::Client => Self::Client,
            NamespaceName::Receipt => Self::Receipt,
        }
    }
}
