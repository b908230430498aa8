/// Off-heap regions, their registrations, pools and budgets, and memory that another process of the
/// host can map.
@NullMarked
package dev.lockstep.memory;

import org.jspecify.annotations.NullMarked;
