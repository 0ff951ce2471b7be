//! S1 to S8 with gates of three inputs, 24.12 on average. Written by `cargo xtask circuits write`.

use super::lane::ThreeInputGates;

/// S1 and S2, 25 and 25 gates.
#[inline(always)]
pub(super) fn s1_and_s2<L: ThreeInputGates>(
    [a0, a1, a2, a3, a4, a5]: [L; 6],
    [b0, b1, b2, b3, b4, b5]: [L; 6],
) -> [[L; 4]; 2] {
    let a6 = L::gate::<0xbc>(a0, a3, a4);
    let b6 = L::gate::<0xd2>(b2, b1, b3);
    let a7 = L::gate::<0x86>(a3, a5, a4);
    let b7 = L::gate::<0x82>(b1, b6, b5);
    let a8 = L::gate::<0x92>(a1, a0, a5);
    let b8 = L::gate::<0x96>(b6, b5, b3);
    let a9 = L::gate::<0xc6>(a1, a7, a6);
    let b9 = L::gate::<0x96>(b3, b7, b4);
    let a10 = L::gate::<0xf8>(a8, a0, a9);
    let b10 = L::gate::<0x9c>(b4, b8, b7);
    let a11 = L::gate::<0xa6>(a9, a6, a8);
    let b11 = L::gate::<0x2c>(b6, b4, b9);
    let a12 = L::gate::<0xac>(a7, a10, a1);
    let b12 = L::gate::<0x46>(b10, b3, b5);
    let a13 = L::gate::<0x5c>(a4, a10, a12);
    let b13 = L::gate::<0x74>(b11, b7, b9);
    let a14 = L::gate::<0x9c>(a6, a2, a13);
    let b14 = L::gate::<0xa6>(b3, b4, b8);
    let a15 = L::gate::<0x96>(a12, a13, a1);
    let b15 = L::gate::<0x9c>(b1, b13, b12);
    let a16 = L::gate::<0xc5>(a2, a9, a13);
    let b16 = L::gate::<0xca>(b1, b9, b14);
    let a17 = L::gate::<0xf4>(a15, a14, a5);
    let b17 = L::gate::<0x7e>(b1, b8, b5);
    let a18 = L::gate::<0x86>(a6, a15, a4);
    let b18 = L::gate::<0x36>(b15, b14, b6);
    let a19 = L::gate::<0xe7>(a16, a7, a8);
    let b19 = L::gate::<0xc5>(b0, b10, b16);
    let a20 = L::gate::<0xb4>(a17, a9, a5);
    let b20 = L::gate::<0x96>(b17, b0, b6);
    let a21 = L::gate::<0x9c>(a5, a18, a11);
    let b21 = L::gate::<0x10>(b17, b19, b4);
    let a22 = L::gate::<0x96>(a14, a19, a1);
    let b22 = L::gate::<0x5c>(b18, b2, b9);
    let a23 = L::gate::<0x9c>(a2, a19, a15);
    let b23 = L::gate::<0x96>(b21, b20, b1);
    let a24 = L::gate::<0x93>(a2, a21, a20);
    let b24 = L::gate::<0x63>(b0, b15, b22);
    let a25 = L::gate::<0xc5>(a5, a23, a22);
    let b25 = L::gate::<0xb6>(b23, b3, b10);
    let a26 = L::gate::<0x83>(a25, a5, a14);
    let b26 = L::gate::<0xc1>(b22, b5, b24);
    let a27 = L::gate::<0x69>(a25, a24, a16);
    let b27 = L::gate::<0x7a>(b25, b4, b26);
    let a28 = L::gate::<0x16>(a26, a12, a13);
    let b28 = L::gate::<0x06>(b26, b16, b13);
    let a29 = L::gate::<0x78>(a27, a1, a17);
    let b29 = L::gate::<0x63>(b5, b23, b27);
    let a30 = L::gate::<0xc6>(a3, a29, a28);
    let b30 = L::gate::<0x63>(b4, b20, b28);
    [[a16, a24, a25, a30], [b19, b30, b24, b29]]
}

/// S3 and S4, 24 and 18 gates.
#[inline(always)]
pub(super) fn s3_and_s4<L: ThreeInputGates>(
    [a0, a1, a2, a3, a4, a5]: [L; 6],
    [b0, b1, b2, b3, b4, b5]: [L; 6],
) -> [[L; 4]; 2] {
    let a6 = L::gate::<0x78>(a4, a5, a3);
    let b6 = L::gate::<0xf4>(b4, b2, b0);
    let a7 = L::gate::<0xe2>(a2, a4, a3);
    let b7 = L::gate::<0x58>(b0, b4, b2);
    let a8 = L::gate::<0x7e>(a5, a2, a6);
    let b8 = L::gate::<0xca>(b3, b6, b0);
    let a9 = L::gate::<0x96>(a6, a3, a2);
    let b9 = L::gate::<0xc6>(b3, b7, b6);
    let a10 = L::gate::<0x78>(a6, a1, a2);
    let b10 = L::gate::<0xb0>(b8, b6, b2);
    let a11 = L::gate::<0x6c>(a1, a9, a8);
    let b11 = L::gate::<0xb6>(b2, b8, b1);
    let a12 = L::gate::<0x96>(a7, a5, a1);
    let b12 = L::gate::<0x36>(b1, b9, b10);
    let a13 = L::gate::<0xac>(a10, a3, a9);
    let b13 = L::gate::<0x5c>(b7, b1, b9);
    let a14 = L::gate::<0x9e>(a3, a0, a8);
    let b14 = L::gate::<0xbc>(b6, b4, b12);
    let a15 = L::gate::<0x5c>(a0, a12, a11);
    let b15 = L::gate::<0x58>(b0, b2, b11);
    let a16 = L::gate::<0x3a>(a5, a10, a13);
    let b16 = L::gate::<0x92>(b8, b9, b7);
    let a17 = L::gate::<0x0c>(a14, a15, a5);
    let b17 = L::gate::<0x36>(b3, b11, b14);
    let a18 = L::gate::<0xb2>(a12, a4, a6);
    let b18 = L::gate::<0x1e>(b13, b10, b17);
    let a19 = L::gate::<0x96>(a17, a7, a16);
    let b19 = L::gate::<0x36>(b1, b16, b15);
    let a20 = L::gate::<0x96>(a18, a3, a0);
    let b20 = L::gate::<0x63>(b5, b12, b17);
    let a21 = L::gate::<0xd4>(a19, a11, a16);
    let b21 = L::gate::<0x1b>(b18, b19, b5);
    let a22 = L::gate::<0x36>(a2, a20, a17);
    let b22 = L::gate::<0x96>(b5, b17, b20);
    let a23 = L::gate::<0x16>(a18, a15, a21);
    let b23 = L::gate::<0x3a>(b5, b19, b18);
    let a24 = L::gate::<0x34>(a11, a2, a22);
    let a25 = L::gate::<0xa4>(a11, a16, a14);
    let a26 = L::gate::<0x0e>(a24, a17, a9);
    let a27 = L::gate::<0x6c>(a0, a25, a23);
    let a28 = L::gate::<0xc9>(a5, a27, a26);
    let a29 = L::gate::<0x35>(a0, a16, a21);
    [[a29, a22, a28, a15], [b23, b21, b20, b22]]
}

/// S5 and S6, 26 and 25 gates.
#[inline(always)]
pub(super) fn s5_and_s6<L: ThreeInputGates>(
    [a0, a1, a2, a3, a4, a5]: [L; 6],
    [b0, b1, b2, b3, b4, b5]: [L; 6],
) -> [[L; 4]; 2] {
    let a6 = L::gate::<0xd6>(a0, a4, a2);
    let b6 = L::gate::<0x96>(b0, b4, b3);
    let a7 = L::gate::<0x68>(a2, a0, a5);
    let b7 = L::gate::<0x72>(b1, b5, b0);
    let a8 = L::gate::<0xd2>(a0, a4, a6);
    let b8 = L::gate::<0x42>(b6, b1, b4);
    let a9 = L::gate::<0x96>(a6, a5, a1);
    let b9 = L::gate::<0x96>(b5, b1, b6);
    let a10 = L::gate::<0x90>(a8, a5, a2);
    let b10 = L::gate::<0x0e>(b8, b6, b3);
    let a11 = L::gate::<0x5e>(a3, a2, a8);
    let b11 = L::gate::<0x2e>(b0, b1, b7);
    let a12 = L::gate::<0x9c>(a1, a10, a7);
    let b12 = L::gate::<0x5c>(b5, b6, b10);
    let a13 = L::gate::<0x34>(a7, a3, a5);
    let b13 = L::gate::<0x3c>(b1, b9, b4);
    let a14 = L::gate::<0x36>(a3, a9, a12);
    let b14 = L::gate::<0xae>(b9, b5, b12);
    let a15 = L::gate::<0xb4>(a11, a9, a12);
    let b15 = L::gate::<0x9c>(b7, b9, b2);
    let a16 = L::gate::<0xf6>(a14, a0, a10);
    let b16 = L::gate::<0x24>(b8, b14, b3);
    let a17 = L::gate::<0x74>(a12, a13, a14);
    let b17 = L::gate::<0x70>(b13, b11, b4);
    let a18 = L::gate::<0x36>(a4, a15, a16);
    let b18 = L::gate::<0x9c>(b2, b16, b11);
    let a19 = L::gate::<0x3c>(a13, a14, a8);
    let b19 = L::gate::<0xca>(b3, b17, b9);
    let a20 = L::gate::<0x3e>(a2, a7, a4);
    let b20 = L::gate::<0x6c>(b4, b15, b18);
    let a21 = L::gate::<0x5c>(a18, a10, a2);
    let b21 = L::gate::<0xc6>(b4, b9, b14);
    let a22 = L::gate::<0x9c>(a4, a19, a17);
    let b22 = L::gate::<0xd2>(b3, b20, b0);
    let a23 = L::gate::<0x7a>(a20, a19, a15);
    let b23 = L::gate::<0x35>(b2, b12, b21);
    let a24 = L::gate::<0x8e>(a21, a12, a6);
    let b24 = L::gate::<0xc6>(b22, b19, b10);
    let a25 = L::gate::<0xca>(a1, a22, a18);
    let b25 = L::gate::<0xa3>(b2, b19, b24);
    let a26 = L::gate::<0x68>(a12, a20, a16);
    let b26 = L::gate::<0xc9>(b25, b0, b14);
    let a27 = L::gate::<0xe2>(a1, a25, a8);
    let b27 = L::gate::<0xac>(b26, b18, b9);
    let a28 = L::gate::<0xc6>(a3, a24, a23);
    let b28 = L::gate::<0xd6>(b1, b7, b27);
    let a29 = L::gate::<0xf8>(a26, a18, a3);
    let b29 = L::gate::<0xbc>(b28, b2, b12);
    let a30 = L::gate::<0x96>(a27, a14, a28);
    let b30 = L::gate::<0xc6>(b4, b27, b29);
    let a31 = L::gate::<0xc9>(a4, a30, a29);
    [[a28, a14, a31, a25], [b23, b25, b20, b30]]
}

/// S7 and S8, 25 and 25 gates.
#[inline(always)]
pub(super) fn s7_and_s8<L: ThreeInputGates>(
    [a0, a1, a2, a3, a4, a5]: [L; 6],
    [b0, b1, b2, b3, b4, b5]: [L; 6],
) -> [[L; 4]; 2] {
    let a6 = L::gate::<0x9a>(a3, a4, a1);
    let b6 = L::gate::<0xca>(b0, b5, b4);
    let a7 = L::gate::<0x96>(a4, a3, a0);
    let b7 = L::gate::<0x64>(b0, b2, b4);
    let a8 = L::gate::<0x36>(a2, a7, a6);
    let b8 = L::gate::<0x2e>(b0, b6, b3);
    let a9 = L::gate::<0x60>(a0, a2, a8);
    let b9 = L::gate::<0xda>(b7, b4, b5);
    let a10 = L::gate::<0xc2>(a9, a6, a1);
    let b10 = L::gate::<0x92>(b8, b0, b2);
    let a11 = L::gate::<0x9c>(a5, a8, a10);
    let b11 = L::gate::<0x6c>(b3, b9, b6);
    let a12 = L::gate::<0x1a>(a0, a11, a3);
    let b12 = L::gate::<0x1c>(b7, b6, b11);
    let a13 = L::gate::<0x1e>(a2, a12, a0);
    let b13 = L::gate::<0xc9>(b1, b11, b10);
    let a14 = L::gate::<0x16>(a12, a4, a9);
    let b14 = L::gate::<0x18>(b2, b6, b13);
    let a15 = L::gate::<0x9c>(a1, a14, a13);
    let b15 = L::gate::<0xbc>(b12, b2, b0);
    let a16 = L::gate::<0xd2>(a0, a15, a12);
    let b16 = L::gate::<0xbe>(b15, b0, b6);
    let a17 = L::gate::<0x6c>(a16, a1, a8);
    let b17 = L::gate::<0x36>(b1, b15, b14);
    let a18 = L::gate::<0x72>(a0, a16, a2);
    let b18 = L::gate::<0x69>(b16, b17, b13);
    let a19 = L::gate::<0x93>(a5, a15, a17);
    let b19 = L::gate::<0x3e>(b3, b10, b11);
    let a20 = L::gate::<0x6e>(a16, a17, a5);
    let b20 = L::gate::<0x53>(b3, b17, b18);
    let a21 = L::gate::<0xc9>(a10, a19, a12);
    let b21 = L::gate::<0x96>(b3, b18, b5);
    let a22 = L::gate::<0x38>(a18, a8, a19);
    let b22 = L::gate::<0x78>(b18, b12, b20);
    let a23 = L::gate::<0x36>(a2, a20, a21);
    let b23 = L::gate::<0xc6>(b1, b21, b19);
    let a24 = L::gate::<0xbe>(a20, a15, a9);
    let b24 = L::gate::<0xa4>(b22, b17, b1);
    let a25 = L::gate::<0x6c>(a4, a23, a22);
    let b25 = L::gate::<0x7c>(b1, b4, b22);
    let a26 = L::gate::<0x68>(a16, a3, a11);
    let b26 = L::gate::<0x63>(b4, b23, b24);
    let a27 = L::gate::<0x72>(a2, a25, a11);
    let b27 = L::gate::<0x96>(b25, b6, b7);
    let a28 = L::gate::<0xc6>(a5, a26, a24);
    let b28 = L::gate::<0xda>(b16, b26, b15);
    let a29 = L::gate::<0x52>(a27, a14, a8);
    let b29 = L::gate::<0xf2>(b28, b23, b22);
    let a30 = L::gate::<0x36>(a1, a28, a29);
    let b30 = L::gate::<0xc6>(b3, b27, b29);
    [[a25, a19, a30, a11], [b26, b13, b30, b20]]
}
