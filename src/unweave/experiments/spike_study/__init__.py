"""Loss spikes in the no-position training: how much of the spiking does each cause explain?"""
