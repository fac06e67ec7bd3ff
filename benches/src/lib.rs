//! What the elements cost, one line a figure.
