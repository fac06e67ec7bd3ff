//! Invariants of the repository: what can rot without anyone noticing, checked by every test run.
//!
//! Tastes do not belong here, nor anything rustfmt, clippy or the compiler already says.
//! Every finding names file and line and says what to do.
//! The checkers take text and give findings, so that each is tested on a small input of its own.

mod finding;
mod tree;
mod rust;

mod dependencies;
mod imports;
mod sources;
mod layout;
mod documents;
mod words;

use finding::assert_none;
use tree::Tree;

#[test]
fn crates_depend_in_the_direction_of_the_flow() {
    assert_none(dependencies::check(&dependencies::metadata()));
}

#[test]
fn folders_of_the_daemon_name_only_what_they_may_know() {
    assert_none(imports::check(&Tree::of_the_repository()));
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    assert_none(sources::check_headers(&Tree::of_the_repository()));
}

#[test]
fn no_rust_file_is_too_long() {
    assert_none(sources::check_lengths(&Tree::of_the_repository()));
}

#[test]
fn no_module_is_named_after_nothing() {
    assert_none(sources::check_names(&Tree::of_the_repository()));
}

#[test]
fn nothing_unwraps_outside_tests() {
    assert_none(sources::check_unwraps(&Tree::of_the_repository()));
}

#[test]
fn links_and_paths_in_documents_lead_somewhere() {
    assert_none(documents::check_links(&Tree::of_the_repository()));
    assert_none(documents::check_paths(&Tree::of_the_repository()));
}

#[test]
fn the_changelog_has_a_place_for_the_next_change() {
    assert_none(documents::check_changelog(&Tree::of_the_repository()));
}

#[test]
fn root_documents_are_short_enough_to_be_read() {
    assert_none(documents::check_lengths(&Tree::of_the_repository()));
}

#[test]
fn migrations_come_in_pairs_and_in_order() {
    assert_none(layout::check_migrations(&Tree::of_the_repository()));
}

#[test]
fn every_element_is_in_every_list() {
    assert_none(layout::check_elements(&Tree::of_the_repository()));
}

#[test]
fn the_root_holds_only_what_it_may() {
    assert_none(layout::check_root(&Tree::of_the_repository()));
}

#[test]
fn no_text_leans_on_what_a_reader_cannot_see() {
    assert_none(words::check(&Tree::of_the_repository()));
}
