//! S1 to S8 with gates of three inputs, 24.12 on average. Written by `cargo xtask circuits write`.

use super::lane::ThreeInputGates;

/// S1, 25 gates.
#[inline(always)]
pub(super) fn s1<L: ThreeInputGates>([w0, w1, w2, w3, w4, w5]: [L; 6]) -> [L; 4] {
    let w6 = L::gate::<0xbc>(w0, w3, w4);
    let w7 = L::gate::<0x86>(w3, w5, w4);
    let w8 = L::gate::<0x92>(w1, w0, w5);
    let w9 = L::gate::<0xc6>(w1, w7, w6);
    let w10 = L::gate::<0xf8>(w8, w0, w9);
    let w11 = L::gate::<0xa6>(w9, w6, w8);
    let w12 = L::gate::<0xac>(w7, w10, w1);
    let w13 = L::gate::<0x5c>(w4, w10, w12);
    let w14 = L::gate::<0x9c>(w6, w2, w13);
    let w15 = L::gate::<0x96>(w12, w13, w1);
    let w16 = L::gate::<0xc5>(w2, w9, w13);
    let w17 = L::gate::<0xf4>(w15, w14, w5);
    let w18 = L::gate::<0x86>(w6, w15, w4);
    let w19 = L::gate::<0xe7>(w16, w7, w8);
    let w20 = L::gate::<0xb4>(w17, w9, w5);
    let w21 = L::gate::<0x9c>(w5, w18, w11);
    let w22 = L::gate::<0x96>(w14, w19, w1);
    let w23 = L::gate::<0x9c>(w2, w19, w15);
    let w24 = L::gate::<0x93>(w2, w21, w20);
    let w25 = L::gate::<0xc5>(w5, w23, w22);
    let w26 = L::gate::<0x83>(w25, w5, w14);
    let w27 = L::gate::<0x69>(w25, w24, w16);
    let w28 = L::gate::<0x16>(w26, w12, w13);
    let w29 = L::gate::<0x78>(w27, w1, w17);
    let w30 = L::gate::<0xc6>(w3, w29, w28);
    [w16, w24, w25, w30]
}

/// S2, 25 gates.
#[inline(always)]
pub(super) fn s2<L: ThreeInputGates>([w0, w1, w2, w3, w4, w5]: [L; 6]) -> [L; 4] {
    let w6 = L::gate::<0xd2>(w2, w1, w3);
    let w7 = L::gate::<0x82>(w1, w6, w5);
    let w8 = L::gate::<0x96>(w6, w5, w3);
    let w9 = L::gate::<0x96>(w3, w7, w4);
    let w10 = L::gate::<0x9c>(w4, w8, w7);
    let w11 = L::gate::<0x2c>(w6, w4, w9);
    let w12 = L::gate::<0x46>(w10, w3, w5);
    let w13 = L::gate::<0x74>(w11, w7, w9);
    let w14 = L::gate::<0xa6>(w3, w4, w8);
    let w15 = L::gate::<0x9c>(w1, w13, w12);
    let w16 = L::gate::<0xca>(w1, w9, w14);
    let w17 = L::gate::<0x7e>(w1, w8, w5);
    let w18 = L::gate::<0x36>(w15, w14, w6);
    let w19 = L::gate::<0xc5>(w0, w10, w16);
    let w20 = L::gate::<0x96>(w17, w0, w6);
    let w21 = L::gate::<0x10>(w17, w19, w4);
    let w22 = L::gate::<0x5c>(w18, w2, w9);
    let w23 = L::gate::<0x96>(w21, w20, w1);
    let w24 = L::gate::<0x63>(w0, w15, w22);
    let w25 = L::gate::<0xb6>(w23, w3, w10);
    let w26 = L::gate::<0xc1>(w22, w5, w24);
    let w27 = L::gate::<0x7a>(w25, w4, w26);
    let w28 = L::gate::<0x06>(w26, w16, w13);
    let w29 = L::gate::<0x63>(w5, w23, w27);
    let w30 = L::gate::<0x63>(w4, w20, w28);
    [w19, w30, w24, w29]
}

/// S3, 24 gates.
#[inline(always)]
pub(super) fn s3<L: ThreeInputGates>([w0, w1, w2, w3, w4, w5]: [L; 6]) -> [L; 4] {
    let w6 = L::gate::<0x78>(w4, w5, w3);
    let w7 = L::gate::<0xe2>(w2, w4, w3);
    let w8 = L::gate::<0x7e>(w5, w2, w6);
    let w9 = L::gate::<0x96>(w6, w3, w2);
    let w10 = L::gate::<0x78>(w6, w1, w2);
    let w11 = L::gate::<0x6c>(w1, w9, w8);
    let w12 = L::gate::<0x96>(w7, w5, w1);
    let w13 = L::gate::<0xac>(w10, w3, w9);
    let w14 = L::gate::<0x9e>(w3, w0, w8);
    let w15 = L::gate::<0x5c>(w0, w12, w11);
    let w16 = L::gate::<0x3a>(w5, w10, w13);
    let w17 = L::gate::<0x0c>(w14, w15, w5);
    let w18 = L::gate::<0xb2>(w12, w4, w6);
    let w19 = L::gate::<0x96>(w17, w7, w16);
    let w20 = L::gate::<0x96>(w18, w3, w0);
    let w21 = L::gate::<0xd4>(w19, w11, w16);
    let w22 = L::gate::<0x36>(w2, w20, w17);
    let w23 = L::gate::<0x16>(w18, w15, w21);
    let w24 = L::gate::<0x34>(w11, w2, w22);
    let w25 = L::gate::<0xa4>(w11, w16, w14);
    let w26 = L::gate::<0x0e>(w24, w17, w9);
    let w27 = L::gate::<0x6c>(w0, w25, w23);
    let w28 = L::gate::<0xc9>(w5, w27, w26);
    let w29 = L::gate::<0x35>(w0, w16, w21);
    [w29, w22, w28, w15]
}

/// S4, 18 gates.
#[inline(always)]
pub(super) fn s4<L: ThreeInputGates>([w0, w1, w2, w3, w4, w5]: [L; 6]) -> [L; 4] {
    let w6 = L::gate::<0xf4>(w4, w2, w0);
    let w7 = L::gate::<0x58>(w0, w4, w2);
    let w8 = L::gate::<0xca>(w3, w6, w0);
    let w9 = L::gate::<0xc6>(w3, w7, w6);
    let w10 = L::gate::<0xb0>(w8, w6, w2);
    let w11 = L::gate::<0xb6>(w2, w8, w1);
    let w12 = L::gate::<0x36>(w1, w9, w10);
    let w13 = L::gate::<0x5c>(w7, w1, w9);
    let w14 = L::gate::<0xbc>(w6, w4, w12);
    let w15 = L::gate::<0x58>(w0, w2, w11);
    let w16 = L::gate::<0x92>(w8, w9, w7);
    let w17 = L::gate::<0x36>(w3, w11, w14);
    let w18 = L::gate::<0x1e>(w13, w10, w17);
    let w19 = L::gate::<0x36>(w1, w16, w15);
    let w20 = L::gate::<0x63>(w5, w12, w17);
    let w21 = L::gate::<0x1b>(w18, w19, w5);
    let w22 = L::gate::<0x96>(w5, w17, w20);
    let w23 = L::gate::<0x3a>(w5, w19, w18);
    [w23, w21, w20, w22]
}

/// S5, 26 gates.
#[inline(always)]
pub(super) fn s5<L: ThreeInputGates>([w0, w1, w2, w3, w4, w5]: [L; 6]) -> [L; 4] {
    let w6 = L::gate::<0xd6>(w0, w4, w2);
    let w7 = L::gate::<0x68>(w2, w0, w5);
    let w8 = L::gate::<0xd2>(w0, w4, w6);
    let w9 = L::gate::<0x96>(w6, w5, w1);
    let w10 = L::gate::<0x90>(w8, w5, w2);
    let w11 = L::gate::<0x5e>(w3, w2, w8);
    let w12 = L::gate::<0x9c>(w1, w10, w7);
    let w13 = L::gate::<0x34>(w7, w3, w5);
    let w14 = L::gate::<0x36>(w3, w9, w12);
    let w15 = L::gate::<0xb4>(w11, w9, w12);
    let w16 = L::gate::<0xf6>(w14, w0, w10);
    let w17 = L::gate::<0x74>(w12, w13, w14);
    let w18 = L::gate::<0x36>(w4, w15, w16);
    let w19 = L::gate::<0x3c>(w13, w14, w8);
    let w20 = L::gate::<0x3e>(w2, w7, w4);
    let w21 = L::gate::<0x5c>(w18, w10, w2);
    let w22 = L::gate::<0x9c>(w4, w19, w17);
    let w23 = L::gate::<0x7a>(w20, w19, w15);
    let w24 = L::gate::<0x8e>(w21, w12, w6);
    let w25 = L::gate::<0xca>(w1, w22, w18);
    let w26 = L::gate::<0x68>(w12, w20, w16);
    let w27 = L::gate::<0xe2>(w1, w25, w8);
    let w28 = L::gate::<0xc6>(w3, w24, w23);
    let w29 = L::gate::<0xf8>(w26, w18, w3);
    let w30 = L::gate::<0x96>(w27, w14, w28);
    let w31 = L::gate::<0xc9>(w4, w30, w29);
    [w28, w14, w31, w25]
}

/// S6, 25 gates.
#[inline(always)]
pub(super) fn s6<L: ThreeInputGates>([w0, w1, w2, w3, w4, w5]: [L; 6]) -> [L; 4] {
    let w6 = L::gate::<0x96>(w0, w4, w3);
    let w7 = L::gate::<0x72>(w1, w5, w0);
    let w8 = L::gate::<0x42>(w6, w1, w4);
    let w9 = L::gate::<0x96>(w5, w1, w6);
    let w10 = L::gate::<0x0e>(w8, w6, w3);
    let w11 = L::gate::<0x2e>(w0, w1, w7);
    let w12 = L::gate::<0x5c>(w5, w6, w10);
    let w13 = L::gate::<0x3c>(w1, w9, w4);
    let w14 = L::gate::<0xae>(w9, w5, w12);
    let w15 = L::gate::<0x9c>(w7, w9, w2);
    let w16 = L::gate::<0x24>(w8, w14, w3);
    let w17 = L::gate::<0x70>(w13, w11, w4);
    let w18 = L::gate::<0x9c>(w2, w16, w11);
    let w19 = L::gate::<0xca>(w3, w17, w9);
    let w20 = L::gate::<0x6c>(w4, w15, w18);
    let w21 = L::gate::<0xc6>(w4, w9, w14);
    let w22 = L::gate::<0xd2>(w3, w20, w0);
    let w23 = L::gate::<0x35>(w2, w12, w21);
    let w24 = L::gate::<0xc6>(w22, w19, w10);
    let w25 = L::gate::<0xa3>(w2, w19, w24);
    let w26 = L::gate::<0xc9>(w25, w0, w14);
    let w27 = L::gate::<0xac>(w26, w18, w9);
    let w28 = L::gate::<0xd6>(w1, w7, w27);
    let w29 = L::gate::<0xbc>(w28, w2, w12);
    let w30 = L::gate::<0xc6>(w4, w27, w29);
    [w23, w25, w20, w30]
}

/// S7, 25 gates.
#[inline(always)]
pub(super) fn s7<L: ThreeInputGates>([w0, w1, w2, w3, w4, w5]: [L; 6]) -> [L; 4] {
    let w6 = L::gate::<0x9a>(w3, w4, w1);
    let w7 = L::gate::<0x96>(w4, w3, w0);
    let w8 = L::gate::<0x36>(w2, w7, w6);
    let w9 = L::gate::<0x60>(w0, w2, w8);
    let w10 = L::gate::<0xc2>(w9, w6, w1);
    let w11 = L::gate::<0x9c>(w5, w8, w10);
    let w12 = L::gate::<0x1a>(w0, w11, w3);
    let w13 = L::gate::<0x1e>(w2, w12, w0);
    let w14 = L::gate::<0x16>(w12, w4, w9);
    let w15 = L::gate::<0x9c>(w1, w14, w13);
    let w16 = L::gate::<0xd2>(w0, w15, w12);
    let w17 = L::gate::<0x6c>(w16, w1, w8);
    let w18 = L::gate::<0x72>(w0, w16, w2);
    let w19 = L::gate::<0x93>(w5, w15, w17);
    let w20 = L::gate::<0x6e>(w16, w17, w5);
    let w21 = L::gate::<0xc9>(w10, w19, w12);
    let w22 = L::gate::<0x38>(w18, w8, w19);
    let w23 = L::gate::<0x36>(w2, w20, w21);
    let w24 = L::gate::<0xbe>(w20, w15, w9);
    let w25 = L::gate::<0x6c>(w4, w23, w22);
    let w26 = L::gate::<0x68>(w16, w3, w11);
    let w27 = L::gate::<0x72>(w2, w25, w11);
    let w28 = L::gate::<0xc6>(w5, w26, w24);
    let w29 = L::gate::<0x52>(w27, w14, w8);
    let w30 = L::gate::<0x36>(w1, w28, w29);
    [w25, w19, w30, w11]
}

/// S8, 25 gates.
#[inline(always)]
pub(super) fn s8<L: ThreeInputGates>([w0, w1, w2, w3, w4, w5]: [L; 6]) -> [L; 4] {
    let w6 = L::gate::<0xca>(w0, w5, w4);
    let w7 = L::gate::<0x64>(w0, w2, w4);
    let w8 = L::gate::<0x2e>(w0, w6, w3);
    let w9 = L::gate::<0xda>(w7, w4, w5);
    let w10 = L::gate::<0x92>(w8, w0, w2);
    let w11 = L::gate::<0x6c>(w3, w9, w6);
    let w12 = L::gate::<0x1c>(w7, w6, w11);
    let w13 = L::gate::<0xc9>(w1, w11, w10);
    let w14 = L::gate::<0x18>(w2, w6, w13);
    let w15 = L::gate::<0xbc>(w12, w2, w0);
    let w16 = L::gate::<0xbe>(w15, w0, w6);
    let w17 = L::gate::<0x36>(w1, w15, w14);
    let w18 = L::gate::<0x69>(w16, w17, w13);
    let w19 = L::gate::<0x3e>(w3, w10, w11);
    let w20 = L::gate::<0x53>(w3, w17, w18);
    let w21 = L::gate::<0x96>(w3, w18, w5);
    let w22 = L::gate::<0x78>(w18, w12, w20);
    let w23 = L::gate::<0xc6>(w1, w21, w19);
    let w24 = L::gate::<0xa4>(w22, w17, w1);
    let w25 = L::gate::<0x7c>(w1, w4, w22);
    let w26 = L::gate::<0x63>(w4, w23, w24);
    let w27 = L::gate::<0x96>(w25, w6, w7);
    let w28 = L::gate::<0xda>(w16, w26, w15);
    let w29 = L::gate::<0xf2>(w28, w23, w22);
    let w30 = L::gate::<0xc6>(w3, w27, w29);
    [w26, w13, w30, w20]
}
