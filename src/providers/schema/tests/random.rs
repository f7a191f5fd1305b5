//! Random schemas: every result keeps the rules, and what keeps them already stays.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::clean_schema;
use super::clean;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z ]{0,6}|\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any_name(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-d]",
        1 => Just(String::new()),
        1 => "[a-b .$字]{1,3}",
        1 => "\\PC{0,70}",
    ]
}

fn any_type() -> impl Strategy<Value = Value> {
    let name = || {
        prop::sample::select(vec![
            "string", "integer", "number", "boolean", "array", "object", "null", "any", "int",
        ])
    };
    prop_oneof![
        4 => name().prop_map(Value::from),
        1 => proptest::collection::vec(name(), 0..4).prop_map(Value::from),
    ]
}

fn any_reference() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just("#".to_owned()),
        "#/\\$defs/[a-d]",
        "#/definitions/[a-d]",
        "#/properties/[a-d](/items)?",
        "\\PC{0,10}",
    ]
    .prop_map(Value::from)
}

/// A keyword without inner schemas, with a likely or an unlikely value.
fn plain_keyword() -> impl Strategy<Value = (String, Value)> {
    let pair = |key: &'static str, value: BoxedStrategy<Value>| {
        value.prop_map(move |value| (key.to_owned(), value)).boxed()
    };
    let numbers = || {
        prop_oneof![
            (-20i64..20).prop_map(Value::from),
            any::<f64>().prop_map(Value::from)
        ]
        .boxed()
    };
    let list = || {
        proptest::collection::vec(any_json(), 0..5)
            .prop_map(Value::from)
            .boxed()
    };
    let words = || {
        proptest::collection::vec("[a-d]{0,2}", 0..4)
            .prop_map(Value::from)
            .boxed()
    };
    prop_oneof![
        8 => pair("type", any_type().boxed()),
        2 => pair("enum", words()),
        1 => pair("enum", list()),
        1 => pair("const", any_json().boxed()),
        2 => pair("$ref", any_reference().boxed()),
        3 => pair("description", "\\PC{0,20}| *".prop_map(Value::from).boxed()),
        1 => pair("default", any_json().boxed()),
        1 => pair("minimum", numbers()),
        1 => pair("maximum", numbers()),
        1 => pair("exclusiveMinimum", prop_oneof![numbers(), any_json()].boxed()),
        1 => pair("minItems", numbers()),
        1 => pair("maxItems", numbers()),
        2 => pair("required", words()),
        1 => pair("pattern", "\\PC{0,20}".prop_map(Value::from).boxed()),
        1 => pair("nullable", any::<bool>().prop_map(Value::from).boxed()),
        2 => (prop::sample::select(KEYWORDS.to_vec()), any_json()).prop_map(|(key, value)| (key.to_owned(), value)),
    ]
}

const KEYWORDS: [&str; 24] = [
    "type",
    "$ref",
    "properties",
    "required",
    "items",
    "prefixItems",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "enum",
    "description",
    "minimum",
    "maxItems",
    "exclusiveMaximum",
    "additionalProperties",
    "patternProperties",
    "format",
    "uniqueItems",
    "$defs",
    "definitions",
    "$id",
    "$anchor",
    "odd",
];

fn any_schema() -> impl Strategy<Value = Value> {
    let object = |keywords: Vec<(String, Value)>| Value::Object(keywords.into_iter().collect());
    let leaf = prop_oneof![
        8 => proptest::collection::vec(plain_keyword(), 0..5).prop_map(object),
        1 => any::<bool>().prop_map(Value::from),
        1 => any_json(),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let schemas = proptest::collection::btree_map(any_name(), inner.clone(), 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()));
        let list = proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
        let one_of = |keys: &'static [&'static str], value: BoxedStrategy<Value>| {
            (prop::sample::select(keys), value).prop_map(|(key, value)| (key.to_owned(), value))
        };
        let inner_keyword = prop_oneof![
            3 => one_of(&["properties", "$defs", "definitions"], schemas.boxed()),
            2 => one_of(&["anyOf", "oneOf", "allOf", "prefixItems", "items"], list.boxed()),
            1 => one_of(&["items", "additionalProperties", "not"], inner.boxed()),
        ];
        (
            proptest::collection::vec(plain_keyword(), 0..4),
            proptest::collection::vec(inner_keyword, 1..4),
        )
            .prop_map(move |(plain, inner)| object(plain.into_iter().chain(inner).collect()))
    })
}

/// A schema that is clean already.
fn clean_already() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "boolean", "description": "yes or no"})),
        Just(json!({"type": "integer", "minimum": 1, "maximum": 9})),
        Just(json!({"type": "string", "enum": ["x", "y"]})),
        Just(json!({"type": "object"})),
    ];
    let any = leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|items| json!({"type": "array", "items": items, "minItems": 1})),
            object_of(inner),
        ]
    });
    object_of(any)
}

fn object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-dA-D_.-]{1,3}", inner, 1..5).prop_map(|members| {
        let required: Vec<String> = members.keys().take(2).cloned().collect();
        let properties: Map<String, Value> = members.into_iter().collect();
        json!({"type": "object", "properties": properties, "required": required})
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_schema_becomes_legal(schema in any_schema()) {
        let cleaned = clean(&schema);
        prop_assert_eq!(clean_schema(&schema), cleaned);
    }

    #[test]
    fn every_property_becomes_legal(schemas in proptest::collection::btree_map(any_name(), any_schema(), 1..4), defs in proptest::collection::btree_map("[a-d]", any_schema(), 0..4)) {
        let names: Vec<String> = schemas.keys().cloned().collect();
        let properties: Map<String, Value> = schemas.into_iter().collect();
        let defs: Map<String, Value> = defs.into_iter().collect();
        let schema = json!({"type": "object", "properties": properties, "required": names, "$defs": defs});
        let cleaned = clean(&schema);
        // A name given for a changed one leads back to a property of the original.
        for (pointer, original) in &cleaned.renamed {
            if pointer.split('/').count() == 3 {
                prop_assert!(properties_of(&schema).contains_key(original));
            }
        }
    }

    #[test]
    fn what_is_clean_stays_as_it_is(schema in clean_already()) {
        let cleaned = clean(&schema);
        prop_assert_eq!(cleaned.schema, schema);
        prop_assert_eq!(cleaned.losses, []);
    }

    #[test]
    fn any_json_is_survived(value in any_json()) {
        clean(&value);
    }
}

fn properties_of(schema: &Value) -> &Map<String, Value> {
    schema["properties"].as_object().unwrap()
}
