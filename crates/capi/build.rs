//! What the linker of the shared library is told.

/// Raised with each change that a program built before does not survive (docs/stability.md).
const ABI: u32 = 0;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS");
    match system.as_deref() {
        Ok("linux") => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libddes.so.{ABI}");
            // A thread of the library may still end while its program takes it out of memory.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        Ok("macos") => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libddes.{ABI}.dylib");
        }
        Ok(_) | Err(_) => {}
    }
}
