/// The jobs `gpt`, `llama`, `mlp` and `moe`: train a byte-level language model on text and show
/// what it learned.
@NullMarked
package dev.lockstep.examples.language;

import org.jspecify.annotations.NullMarked;
