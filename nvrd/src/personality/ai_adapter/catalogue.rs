//! What every task answers, field by field: the source of `/schema`, `/tasks` and their examples.

use serde_json::{Map, Value, json};

/// Who does a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    /// The model that detects objects.
    Detector,
    /// The model that detects faces.
    Faces,
    /// The part that tells faces apart.
    FaceMatch,
    /// An endpoint elsewhere.
    Cloud,
}

impl Provider {
    /// Its name in `/adapters`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Faces => "faces",
            Self::FaceMatch => "facematch",
            Self::Cloud => "cloud",
        }
    }
}

/// A task.
#[derive(Debug)]
pub(super) struct Task {
    /// Its name.
    pub(super) name: &'static str,
    /// Who does it.
    pub(super) provider: Provider,
    /// One sentence.
    pub(super) description: &'static str,
    /// What it answers.
    pub(super) fields: Vec<Field>,
}

/// A field of an answer.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    /// In the upstream program's words.
    kind: &'static str,
    /// In those of JSON Schema.
    schema: Value,
    description: &'static str,
    example: Value,
    optional: bool,
    /// The fields of the items of a list.
    items: Vec<Field>,
}

impl Field {
    fn new(
        name: &'static str,
        kind: &'static str,
        description: &'static str,
        example: Value,
    ) -> Self {
        let schema = match kind {
            "string" => json!({ "type": "string" }),
            "float" => json!({ "type": "number" }),
            "integer" => json!({ "type": "integer" }),
            "boolean" => json!({ "type": "boolean" }),
            "array[int]" => {
                json!({ "type": "array", "items": { "type": "integer" }, "minItems": 4, "maxItems": 4 })
            }
            "array[float]" => json!({ "type": "array", "items": { "type": "number" } }),
            "array[float]|null" => {
                json!({ "type": ["array", "null"], "items": { "type": "number" } })
            }
            "array[int]|null" => {
                json!({ "type": ["array", "null"], "items": { "type": "integer" }, "minItems": 4, "maxItems": 4 })
            }
            "array[array[int]]" => json!({ "type": "array", "items": {
                "type": "array", "items": { "type": "integer" }, "minItems": 2, "maxItems": 2 } }),
            "integer|null" => json!({ "type": ["integer", "null"] }),
            "string|null" => json!({ "type": ["string", "null"] }),
            // Whatever the model elsewhere answers.
            _ => json!({}),
        };
        Self {
            name,
            kind,
            schema,
            description,
            example,
            optional: false,
            items: Vec::new(),
        }
    }

    /// A list of objects.
    fn list(name: &'static str, description: &'static str, items: Vec<Self>) -> Self {
        let example = json!([example_of(&items)]);
        let schema = json!({ "type": "array", "items": object_schema(&items) });
        Self {
            name,
            kind: "array[object]",
            schema,
            description,
            example,
            optional: false,
            items,
        }
    }

    fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    fn described(&self) -> Value {
        let mut map = Map::new();
        map.insert("type".to_owned(), self.kind.into());
        map.insert("description".to_owned(), self.description.into());
        map.insert("example".to_owned(), self.example.clone());
        if self.optional {
            map.insert("optional".to_owned(), true.into());
        }
        if !self.items.is_empty() {
            map.insert("item_schema".to_owned(), described(&self.items));
        }
        map.into()
    }
}

impl Task {
    /// What `/schema` tells of it.
    pub(super) fn schema(&self) -> Value {
        let mut strict = object_schema(&self.fields);
        strict["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        strict["title"] = json!(self.name);
        json!({
            "task": self.name,
            "adapter": self.provider.name(),
            "description": self.description,
            "response_fields": described(&self.fields),
            "example_response": example_of(&self.fields),
            "schema": strict,
        })
    }
}

fn described(fields: &[Field]) -> Value {
    let fields = fields.iter();
    Value::Object(
        fields
            .map(|field| (field.name.to_owned(), field.described()))
            .collect(),
    )
}

fn example_of(fields: &[Field]) -> Value {
    let fields = fields.iter();
    Value::Object(
        fields
            .map(|field| (field.name.to_owned(), field.example.clone()))
            .collect(),
    )
}

/// Exactly these keys, those that are not optional always.
fn object_schema(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = field.schema.clone();
            schema["description"] = field.description.into();
            (field.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| !field.optional)
        .map(|field| field.name)
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Every task that has a name of its own, whether it can be done now or not.
pub(super) fn tasks() -> Vec<Task> {
    let mut tasks = object_tasks();
    tasks.push(face_detection());
    tasks.extend(face_tasks());
    tasks.extend(cloud_tasks());
    tasks
}

/// What the model that detects objects does.
fn object_tasks() -> Vec<Task> {
    vec![
        Task {
            name: "person_detection",
            provider: Provider::Detector,
            description: "The surest person on the picture; confidence 0 and a box of zeros where there is none.",
            fields: with_common(vec![
                Field::new("label", "string", "Always person.", json!("person")),
                confidence("How sure it is, 0 to 1."),
                bbox(),
            ]),
        },
        Task {
            name: "person_counting",
            provider: Provider::Detector,
            description: "All persons on the picture, with a number for each that stays while the camera is asked about.",
            fields: with_common(vec![
                task("person_counting"),
                Field::new("count", "integer", "How many persons there are.", json!(1)),
                confidence("Mean over all of them, 0 to 1; 0 where there is none."),
                Field::list(
                    "detections",
                    "The persons, the surest first.",
                    vec![
                        bbox(),
                        confidence("How sure it is, 0 to 1."),
                        Field::new(
                            "track_id",
                            "integer",
                            "The same for a person who overlaps the place of the last picture asked about, up to ten seconds ago; counted from 1.",
                            json!(1),
                        ),
                    ],
                ),
            ]),
        },
        Task {
            name: "object_detection",
            provider: Provider::Detector,
            description: "Everything on the picture that the model knows, or what input.labels names.",
            fields: with_common(objects("object_detection")),
        },
    ]
}

fn face_detection() -> Task {
    Task {
        name: "face_detection",
        provider: Provider::Faces,
        description: "All faces on the picture, with five points each.",
        fields: with_common(vec![
            Field::list(
                "faces",
                "The faces, the surest first.",
                vec![
                    face_bbox("bbox"),
                    confidence("How sure it is, 0 to 1."),
                    Field::new(
                        "landmarks",
                        "array[array[int]]",
                        "The two eyes, the nose and the two corners of the mouth, the left ones of the picture first; pixels.",
                        json!([[250, 130], [310, 130], [280, 160], [260, 190], [300, 190]]),
                    ),
                    Field::new(
                        "age",
                        "integer|null",
                        "Null: no model here tells it.",
                        Value::Null,
                    ),
                    Field::new(
                        "gender",
                        "string|null",
                        "Null: no model here tells it.",
                        Value::Null,
                    ),
                ],
            ),
            Field::new(
                "face_count",
                "integer",
                "How many faces there are.",
                json!(1),
            ),
        ]),
    }
}

/// What needs a model that tells faces apart.
fn face_tasks() -> Vec<Task> {
    let mut matched = person();
    matched.push(similarity());
    let task = |name, description, fields| Task {
        name,
        provider: Provider::FaceMatch,
        description,
        fields,
    };
    vec![
        task(
            "face_embedding",
            "The vector of the largest face.",
            vec![
                Field::new(
                    "embedding",
                    "array[float]|null",
                    "Of length 1; null where there is no face.",
                    json!([0.01, -0.02]),
                ),
                maybe_bbox("face_bbox"),
                Field::new(
                    "embedding_size",
                    "integer",
                    "Numbers of the vector; 0 where there is no face.",
                    json!(128),
                ),
                no_face(),
                latency(),
            ],
        ),
        task(
            "face_recognition",
            "Who of those registered it is.",
            recognised(),
        ),
        task(
            "face_verify",
            "Whether two pictures show the same person.",
            vec![
                Field::new("is_same_person", "boolean", "Whether they do.", json!(true)),
                similarity(),
                Field::new(
                    "threshold",
                    "float",
                    "From which similarity on they do.",
                    json!(0.5),
                ),
                maybe_bbox("face1_bbox"),
                maybe_bbox("face2_bbox"),
                no_face(),
                latency(),
            ],
        ),
        task(
            "watchlist_check",
            "Whether it is somebody of the category watchlist.",
            vec![
                Field::new("is_on_watchlist", "boolean", "Whether it is.", json!(true)),
                Field::list("matches", "The most similar first.", matched),
                maybe_bbox("face_bbox"),
                no_face(),
                latency(),
            ],
        ),
    ]
}

/// The box of a face that may not be there.
fn maybe_bbox(name: &'static str) -> Field {
    Field::new(
        name,
        "array[int]|null",
        "Left, top, right, bottom, pixels; null where there is no face.",
        json!([100, 150, 200, 300]),
    )
}

fn no_face() -> Field {
    let text = "No face detected in image";
    Field::new("message", "string", "That there is no face.", json!(text)).optional()
}

/// What `face_recognition` answers.
fn recognised() -> Vec<Field> {
    let mut fields = vec![Field::new(
        "recognized",
        "boolean",
        "Whether it is somebody registered.",
        json!(true),
    )];
    fields.extend(person().into_iter().map(Field::optional));
    fields.extend([
        similarity().optional(),
        maybe_bbox("face_bbox").optional(),
        Field::new(
            "message",
            "string",
            "Why nobody was recognised.",
            json!("No match found (threshold: 0.5)"),
        )
        .optional(),
        latency(),
    ]);
    fields
}

/// Somebody who is registered.
fn person() -> Vec<Field> {
    let text =
        |name, description, example: &str| Field::new(name, "string", description, json!(example));
    vec![
        text("person_id", "Id of the person.", "emp_001"),
        text("name", "Name of the person.", "John Doe"),
        text("category", "Category of the person.", "employee"),
    ]
}

fn latency() -> Field {
    Field::new("latency_ms", "integer", "Milliseconds.", json!(120))
}

fn similarity() -> Field {
    Field::new("similarity", "float", "Cosine, 0 to 1.", json!(0.87))
}

/// What a model elsewhere does; other tasks of that interface have no shape of their own.
fn cloud_tasks() -> Vec<Task> {
    let task = |name, description, example| Task {
        name,
        provider: Provider::Cloud,
        description,
        fields: vec![
            task(name),
            Field::new(
                "model_name",
                "string",
                "The model that was asked.",
                json!("org/model"),
            ),
            Field::new(
                "result",
                "any",
                "What it found; null where it failed.",
                example,
            ),
            Field::new("error", "string", "Why it failed.", json!("")).optional(),
            Field::new("latency_ms", "integer", "Milliseconds.", json!(900)),
            Field::new(
                "executed_at",
                "string",
                "UTC, as in RFC 3339.",
                json!("2026-01-01T00:00:00Z"),
            ),
            Field::new("status", "string", "success or failed.", json!("success")),
        ],
    };
    vec![
        task(
            "object_detection_detr",
            "Objects, by a model behind the configured endpoint.",
            json!({ "count": 1, "confidence": 0.98, "detections": [
                { "label": "cat", "confidence": 0.98, "bbox": [100, 150, 200, 180] }] }),
        ),
        task(
            "image_classification",
            "What the picture is of, by a model behind the configured endpoint.",
            json!({ "top_label": "cat", "top_confidence": 0.62,
                "classifications": [{ "label": "cat", "confidence": 0.62 }] }),
        ),
        task(
            "scene_description",
            "The picture in words, by a model behind the configured endpoint.",
            json!({ "caption": "a person at a door" }),
        ),
    ]
}

fn with_common(mut fields: Vec<Field>) -> Vec<Field> {
    fields.extend([
        Field::new(
            "camera",
            "string",
            "The camera that was meant; absent where the picture came with the request.",
            json!("front"),
        )
        .optional(),
        Field::new(
            "annotated_image_uri",
            "string",
            "The picture with what was found drawn on it; absent where nothing was.",
            json!("opennvr://frames/front/person_counting_annotated.jpg"),
        )
        .optional(),
        Field::new(
            "executed_at",
            "integer",
            "Milliseconds since 1970-01-01 UTC.",
            json!(1_767_225_600_000_i64),
        ),
        Field::new(
            "latency_ms",
            "integer",
            "From the request to the answer, milliseconds.",
            json!(45),
        ),
    ]);
    fields
}

fn objects(name: &'static str) -> Vec<Field> {
    vec![
        task(name),
        Field::new("count", "integer", "How many there are.", json!(1)),
        confidence("Mean over all of them, 0 to 1; 0 where there is none."),
        Field::list(
            "detections",
            "The surest first.",
            vec![
                Field::new("label", "string", "What it is.", json!("car")),
                confidence("How sure it is, 0 to 1."),
                bbox(),
            ],
        ),
        Field::new("model_id", "string", "The model.", json!("yolox_nano")),
    ]
}

fn task(name: &'static str) -> Field {
    Field::new("task", "string", "The task.", json!(name))
}

fn confidence(description: &'static str) -> Field {
    Field::new("confidence", "float", description, json!(0.85))
}

fn bbox() -> Field {
    Field::new(
        "bbox",
        "array[int]",
        "Left, top, width, height; pixels.",
        json!([100, 150, 200, 300]),
    )
}

fn face_bbox(name: &'static str) -> Field {
    Field::new(
        name,
        "array[int]",
        "Left, top, right, bottom; pixels.",
        json!([220, 80, 340, 220]),
    )
}
