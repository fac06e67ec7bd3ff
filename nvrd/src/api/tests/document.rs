//! The description of the API: whole, as the table has it, and readable without a network.

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde_json::Value;

use super::World;
use crate::api::{openapi, table};
use crate::auth::Need;

#[test]
fn the_document_is_the_one_that_was_reviewed() {
    expect_file!["../snapshots/openapi.json"].assert_eq(openapi::text());
}

#[test]
fn every_route_is_in_the_document_and_the_other_way_round() {
    let world = World::new();
    let table = table(world.context.clone());
    let routes: BTreeSet<(String, String)> = table
        .rows()
        .iter()
        .filter(|(_, path, _)| !table.aliases().contains(path))
        .map(|(method, path, _)| (method.as_str().to_lowercase(), (*path).to_owned()))
        .collect();
    assert_eq!(
        routes.len() + table.aliases().len(),
        table.rows().len(),
        "a route stands in the table twice"
    );
    let document: Value = serde_json::from_str(openapi::text()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(|method| (method.clone(), path.clone()))
        })
        .collect();
    assert_eq!(routes, described);
}

#[test]
fn every_parameter_of_a_path_and_every_response_is_described() {
    let document: Value = serde_json::from_str(openapi::text()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, methods) in document["paths"].as_object().unwrap() {
        let wanted: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let named: BTreeSet<&str> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(named, wanted, "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert_ne!(
                    response["description"].as_str().unwrap_or_default(),
                    "",
                    "{method} {path} {status}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_pages_need_no_network() {
    let world = World::new();
    let first = world.ask("GET", "/docs").await;
    assert_eq!(
        (first.status, first.header("location")),
        (307, Some("/docs/index.html"))
    );
    assert_eq!(world.ask("GET", "/docs/").await.status, 307);
    let page = world.ask("GET", "/docs/index.html").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html"))
    );
    assert!(
        !page.text().contains("http://") && !page.text().contains("https://"),
        "{}",
        page.text()
    );
    let script = world
        .ask("GET", "/docs/swagger-initializer.js")
        .await
        .text();
    assert!(
        script.contains("/openapi.json") && script.contains("\"validatorUrl\": \"none\""),
        "{script}"
    );
    assert_eq!(world.json("/openapi.json").await["info"]["title"], "nvrd");
}

#[test]
fn what_needs_no_credentials_is_described_so() {
    let world = World::new();
    let table = table(world.context.clone());
    let open: BTreeSet<(String, String)> = table
        .rows()
        .iter()
        .filter(|(_, template, need)| {
            let asks_later = matches!(*template, "/ws" | "/api/v1/stream");
            *need == Need::Public && !asks_later && !table.aliases().contains(template)
        })
        .map(|(method, template, _)| (method.as_str().to_lowercase(), (*template).to_owned()))
        .collect();
    let document: Value = serde_json::from_str(openapi::text()).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["security"] == serde_json::json!([]) {
                described.insert((method.clone(), path.clone()));
            }
        }
    }
    assert_eq!(open, described);
}
