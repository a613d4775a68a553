import numpy as np
import pytest
from mqspn.regions.recall import proposal_recall

A = (0.0, 0.0, 10.0, 10.0)
B = (50.0, 50.0, 80.0, 80.0)
C = (200.0, 0.0, 220.0, 40.0)


def test_boxes_and_entities_covered():
    # A is hit, B is missed by the one entity that has both, C by another.
    recall = proposal_recall([[[A, B], [C], []]], [np.array([A, (0, 0, 1, 1)])])
    assert (recall.boxes, recall.boxes_covered) == (3, 1)
    assert (recall.entities, recall.entities_covered) == (2, 1)
    assert recall.to_json() == {
        "k": 16,
        "box_recall": pytest.approx(1 / 3),
        "entity_recall": 0.5,
        "boxes": 3,
        "entities": 2,
    }


def test_only_the_first_k_proposals_count():
    proposals = np.array([B, C, A])
    assert proposal_recall([[[A]]], [proposals], k=2).box_recall == 0
    assert proposal_recall([[[A]]], [proposals], k=3).box_recall == 1


def test_an_iou_of_exactly_the_threshold_does_not_cover():
    half = np.array([(0.0, 0.0, 10.0, 5.0)])
    assert proposal_recall([[[A]]], [half]).box_recall == 0
    assert proposal_recall([[[A]]], [half], iou=0.49).box_recall == 1


def test_a_box_of_two_mentions_counts_once_among_boxes():
    recall = proposal_recall([[[A], [A]]], [np.array([A])])
    assert (recall.boxes, recall.entities, recall.entities_covered) == (1, 2, 2)


def test_no_proposals_cover_nothing_and_padding_neither():
    recall = proposal_recall([[[A]], [[B]]], [np.zeros((0, 4)), np.zeros((16, 4))])
    assert (recall.box_recall, recall.entity_recall) == (0, 0)


def test_nothing_to_cover():
    assert proposal_recall([[[]], []], [np.array([A]), np.array([B])]).box_recall == 0


def test_misshapen_input_is_refused():
    with pytest.raises(ValueError, match="proposals of post 1 must be"):
        proposal_recall([[], []], [np.zeros((0, 4)), np.zeros((3, 5))])
    with pytest.raises(ValueError, match="1 posts with gold boxes, 2 with proposals"):
        proposal_recall([[]], [np.zeros((0, 4))] * 2)
