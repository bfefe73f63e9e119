"""More features than dimensions: when does a narrow model keep them all? (Elhage et al., 2022)"""
