/// The `gpt` job: trains a byte-level GPT on text and shows what it learned.
@NullMarked
package dev.lockstep.examples.gpt;

import org.jspecify.annotations.NullMarked;
