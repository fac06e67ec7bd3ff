//! Writes tiny ONNX models byte by byte (protobuf), so that tests need no file that is not theirs.

use std::path::{Path, PathBuf};

fn varint(mut v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while v >= 0x80 {
        out.push((v as u8) | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
    out
}

fn number(field: u64, v: u64) -> Vec<u8> {
    [varint(field << 3), varint(v)].concat()
}

fn bytes(field: u64, data: &[u8]) -> Vec<u8> {
    [
        varint(field << 3 | 2),
        varint(data.len() as u64),
        data.to_vec(),
    ]
    .concat()
}

fn text(field: u64, s: &str) -> Vec<u8> {
    bytes(field, s.as_bytes())
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs {
        out.extend(text(1, input));
    }
    out.extend(text(2, output));
    out.extend(text(4, op));
    for attribute in attributes {
        out.extend(bytes(5, attribute));
    }
    bytes(1, &out)
}

/// An integer attribute.
fn attribute(name: &str, v: u64) -> Vec<u8> {
    [text(1, name), number(3, v), number(20, 2)].concat()
}

fn floats(name: &str, shape: &[usize], data: &[f32]) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), data.len());
    let raw: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut out: Vec<u8> = shape.iter().flat_map(|d| number(1, *d as u64)).collect();
    out.extend(number(2, 1));
    out.extend(text(8, name));
    out.extend(bytes(9, &raw));
    bytes(5, &out)
}

/// An input (field 11) or output (field 12) of floats; -1 leaves a dimension open.
fn value(field: u64, name: &str, shape: &[i64]) -> Vec<u8> {
    let dims: Vec<u8> = shape
        .iter()
        .flat_map(|d| match u64::try_from(*d) {
            Ok(d) => bytes(1, &number(1, d)),
            Err(_) => bytes(1, &text(2, "open")),
        })
        .collect();
    let tensor = [number(1, 1), bytes(2, &dims)].concat();
    bytes(
        field,
        &[text(1, name), bytes(2, &bytes(1, &tensor))].concat(),
    )
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    let graph = [graph.concat(), text(2, "g")].concat();
    [number(1, 8), bytes(8, &number(2, 13)), bytes(7, &graph)].concat()
}

/// Cells of a YOLOX grid over 32 by 32 pixels.
const CELLS: usize = 21;

/// A model of YOLOX's shape over an input of 32 by 32 pixels, two classes: it sees one object of class 1 in the
/// middle of the input, 16 pixels wide and 8 high, and is as sure of it as the input is bright (mean / 255).
///
/// `side` is the side of the input that it declares, -1 to leave it open.
pub fn brightness(side: i64) -> Vec<u8> {
    let mut base = vec![0.0_f32; CELLS * 7];
    let mut gain = base.clone();
    // Cell 20 is the only one of stride 32.
    base[140..147].copy_from_slice(&[0.5, 0.5, 0.5_f32.ln(), 0.25_f32.ln(), 0.0, 0.1, 1.0]);
    gain[144] = 1.0 / 255.0;
    model(&[
        node(
            "ReduceMean",
            &["images"],
            "mean",
            &[attribute("keepdims", 0)],
        ),
        node("Mul", &["gain", "mean"], "part", &[]),
        node("Add", &["base", "part"], "output", &[]),
        floats("base", &[1, CELLS, 7], &base),
        floats("gain", &[1, CELLS, 7], &gain),
        value(11, "images", &[1, 3, side, side]),
        value(12, "output", &[1, CELLS as i64, 7]),
    ])
}

/// Like [`brightness`], but blind, and slow: it multiplies large matrices first.
pub fn slow() -> Vec<u8> {
    const SIDE: usize = 768;
    let seed: Vec<f32> = (0..SIDE * SIDE).map(|i| (i % 7) as f32 * 1e-4).collect();
    let mut graph = vec![
        node(
            "ReduceMean",
            &["images"],
            "mean",
            &[attribute("keepdims", 0)],
        ),
        node("Add", &["seed", "mean"], "m0", &[]),
    ];
    let name = |i: usize| format!("m{i}");
    for i in 0..12 {
        graph.push(node("MatMul", &[&name(i), "seed"], &name(i + 1), &[]));
    }
    graph.extend([
        node("ReduceMean", &["m12"], "end", &[attribute("keepdims", 0)]),
        node("Mul", &["zero", "end"], "output", &[]),
        floats("seed", &[SIDE, SIDE], &seed),
        floats("zero", &[1, CELLS, 7], &[0.0; CELLS * 7]),
        value(11, "images", &[1, 3, 32, 32]),
        value(12, "output", &[1, CELLS as i64, 7]),
    ]);
    model(&graph)
}

/// A model that declares YOLOX's shape and gives another one.
pub fn liar() -> Vec<u8> {
    model(&[
        node(
            "ReduceMean",
            &["images"],
            "mean",
            &[attribute("keepdims", 0)],
        ),
        node("Add", &["base", "mean"], "output", &[]),
        floats("base", &[1, 20, 7], &[0.0; 140]),
        value(11, "images", &[1, 3, 32, 32]),
        value(12, "output", &[1, -1, 7]),
    ])
}

/// A model that runs on a blank picture only: its mean is the index of the only table it has.
pub fn fragile() -> Vec<u8> {
    model(&[
        node(
            "ReduceMean",
            &["images"],
            "mean",
            &[attribute("keepdims", 0)],
        ),
        node("Cast", &["mean"], "index", &[attribute("to", 7)]),
        node("Gather", &["tables", "index"], "output", &[]),
        floats("tables", &[1, 1, CELLS, 7], &[0.0; CELLS * 7]),
        value(11, "images", &[1, 3, 32, 32]),
        value(12, "output", &[1, CELLS as i64, 7]),
    ])
}

/// A model of no detector's shape.
pub fn embedding() -> Vec<u8> {
    model(&[
        node("ReduceMean", &["x"], "mean", &[attribute("keepdims", 0)]),
        node("Add", &["base", "mean"], "y", &[]),
        floats("base", &[1, 8], &[0.0; 8]),
        value(11, "x", &[1, 3, 32, 32]),
        value(12, "y", &[1, 8]),
    ])
}

/// Writes a model and, unless empty, the TOML beside it.
pub fn write(folder: &Path, name: &str, model: &[u8], toml: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, model).unwrap();
    if !toml.is_empty() {
        std::fs::write(path.with_extension("toml"), toml).unwrap();
    }
    path
}
