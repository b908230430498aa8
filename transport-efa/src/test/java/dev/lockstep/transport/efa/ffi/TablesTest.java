package dev.lockstep.transport.efa.ffi;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;

final class TablesTest {
  private static final long ADDRESS = 0x1234_5678L;
  private static final long OFFSET = Layouts.offset(Layouts.OPS_FABRIC, "eq_open");

  private static MemorySegment table(Arena arena, long size, long address) {
    MemorySegment table = arena.allocate(Layouts.OPS_FABRIC);
    table.set(JAVA_LONG, Layouts.offset(Layouts.OPS_FABRIC, "size"), size);
    table.set(JAVA_LONG, OFFSET, address);
    return table;
  }

  private static MemorySegment look(Arena arena, MemorySegment table) {
    MemorySegment object = arena.allocate(Layouts.FABRIC);
    object.set(JAVA_LONG, Layouts.offset(Layouts.FABRIC, "ops"), table.address());
    return Tables.function(object.address(), Layouts.FABRIC, "ops", Layouts.OPS_FABRIC, "eq_open");
  }

  private static void isAbsent(ThrowingCallable look) {
    assertThatThrownBy(look)
        .isInstanceOf(UnsupportedOperationException.class)
        .hasMessage("provider lacks a function: table=fi_ops_fabric, function=eq_open");
  }

  @Test
  void functionIsWhatTheTableOfTheObjectSays() {
    try (Arena arena = Arena.ofConfined()) {
      assertThat(look(arena, table(arena, OFFSET + Long.BYTES, ADDRESS)).address())
          .isEqualTo(ADDRESS);
    }
  }

  /// What lies behind the end of an older library's table is no function, whatever is there.
  @Test
  void tableThatEndsBeforeTheFunctionLacksIt() {
    try (Arena arena = Arena.ofConfined()) {
      isAbsent(() -> look(arena, table(arena, OFFSET, ADDRESS)));
      isAbsent(() -> look(arena, table(arena, OFFSET + Long.BYTES - 1, ADDRESS)));
    }
  }

  @Test
  void emptyEntryOrNoTableLacksTheFunction() {
    try (Arena arena = Arena.ofConfined()) {
      isAbsent(() -> look(arena, table(arena, OFFSET + Long.BYTES, 0)));
      isAbsent(() -> look(arena, MemorySegment.NULL));
    }
  }
}
