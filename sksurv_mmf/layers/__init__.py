"""Operations and layers of torch that encoders, fusions and the network share."""
