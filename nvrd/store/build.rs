//! Makes cargo build the crate again when a migration is added: the macro that embeds them cannot.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations/sqlite");
    println!("cargo::rerun-if-changed=../../migrations/postgres");
}
