//! Tests of the layers, the mistakes and the example.
