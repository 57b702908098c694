"""A filter of the canary's own, as projects have them."""


def song(bird):
    return "%s sings" % bird


class FilterModule:
    def filters(self):
        return {"canary_song": song}
