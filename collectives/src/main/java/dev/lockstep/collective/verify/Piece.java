package dev.lockstep.collective.verify;

/// A stretch of a value on its way: the element at position `i` of the whole is the expression over
/// the contributions' elements `i + shift`.
///
/// @param from first position
/// @param to position after the last
/// @param expression number of the expression
/// @param shift see above
record Piece(long from, long to, int expression, long shift) {}
