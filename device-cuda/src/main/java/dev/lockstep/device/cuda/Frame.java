package dev.lockstep.device.cuda;

/// Where everything lies once a program is bound.
///
/// @param values device addresses by value id
/// @param scratch device address of working memory
/// @param fault host address of the words by which kernels say that an id lay outside its table
@SuppressWarnings("ArrayRecordComponent") // never compared
record Frame(long[] values, long scratch, long fault) {
  long address(Ref ref) {
    return switch (ref.base()) {
      case NOTHING -> 0;
      case VALUE -> values[ref.value()] + ref.offset();
      case SCRATCH -> scratch + ref.offset();
      case FAULT -> fault + ref.offset();
    };
  }
}
