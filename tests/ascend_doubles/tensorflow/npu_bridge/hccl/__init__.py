"""Operations that every rank runs."""
